// Pieces of eight f16.
@group(0) @binding(3) var<storage, read> w: array<vec4u>;
const PIECE_COLUMNS: u32 = 8u;

alias Piece = vec4u;
struct Numbers { eight: array<vec4f, 2>, scale: f32 }

fn piece(row: u32, i: u32) -> Piece { return w[row * (COLUMNS / 8u) + i]; }
fn x_piece(row: u32, i: u32) -> Numbers { return Numbers(staged8(i), scale8(i)); }

fn product(mine: Piece, other: Numbers) -> f32 {
  let low = vec4f(unpack2x16float(mine.x), unpack2x16float(mine.y));
  let high = vec4f(unpack2x16float(mine.z), unpack2x16float(mine.w));
  return (dot(low, other.eight[0]) + dot(high, other.eight[1])) * other.scale;
}
