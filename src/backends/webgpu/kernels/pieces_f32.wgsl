// Pieces of eight f32.
@group(0) @binding(3) var<storage, read> w: array<vec4f>;
const PIECE_COLUMNS: u32 = 8u;

struct Piece { low: vec4f, high: vec4f }
struct Numbers { eight: array<vec4f, 2>, scale: f32 }

fn piece(row: u32, i: u32) -> Piece {
  let first = row * (COLUMNS / 4u) + 2u * i;
  return Piece(w[first], w[first + 1u]);
}
fn x_piece(row: u32, i: u32) -> Numbers { return Numbers(staged8(i), scale8(i)); }

fn product(mine: Piece, other: Numbers) -> f32 { return (dot(mine.low, other.eight[0]) + dot(mine.high, other.eight[1])) * other.scale; }
