// Pieces of eight f32.
@group(0) @binding(3) var<storage, read> w: array<vec4f>;
const PIECE_COLUMNS: u32 = 8u;

struct Piece { low: vec4f, high: vec4f }

fn piece(row: u32, i: u32) -> Piece {
  let first = row * (COLUMNS / 4u) + 2u * i;
  return Piece(w[first], w[first + 1u]);
}
fn x_piece(row: u32, i: u32) -> Piece { return Piece(bitcast<vec4f>(staged[2u * i]), bitcast<vec4f>(staged[2u * i + 1u])); }

fn product(mine: Piece, other: Piece) -> f32 { return dot(mine.low, other.low) + dot(mine.high, other.high); }
