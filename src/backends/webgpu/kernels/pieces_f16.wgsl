// Pieces of eight f16, of both the matrix and x, whose blocks have a scale (see chain_x_half).
@group(0) @binding(3) var<storage, read> w: array<vec4u>;
const PIECE_COLUMNS: u32 = 8u;

alias Piece = vec4u;
struct Scaled { words: vec4u, scale: f32 }

fn piece(row: u32, i: u32) -> Piece { return w[row * (COLUMNS / 8u) + i]; }
fn x_piece(row: u32, i: u32) -> Scaled { return Scaled(staged[i], block_scales[i / 4u]); }

fn numbers(words: vec2u) -> vec4f { return vec4f(unpack2x16float(words.x), unpack2x16float(words.y)); }
fn product(mine: Piece, other: Scaled) -> f32 {
  return (dot(numbers(mine.xy), numbers(other.words.xy)) + dot(numbers(mine.zw), numbers(other.words.zw))) * other.scale;
}
