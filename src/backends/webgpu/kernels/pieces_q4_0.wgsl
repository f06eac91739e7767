// Pieces of 32 nibbles, a block. Eight blocks lie side by side (see pack_blocks): their nibbles as
// signed numbers, then their eight f16 scales. A nibble in the upper half of a byte is 16 times itself,
// so that a mask makes signed bytes of four.
@group(0) @binding(3) var<storage, read> w: array<vec4u>;
const PIECE_COLUMNS: u32 = 32u;

struct Piece { nibbles: vec4u, scale: f32 }
struct Bytes { low: vec4u, high: vec4u, scale: f32 }

fn piece(row: u32, i: u32) -> Piece {
  let first = (row * (COLUMNS / 256u) + i / 8u) * 9u;
  let scales = unpack2x16float(w[first + 8u][(i % 8u) / 2u]);
  return Piece(w[first + i % 8u], select(scales.x, scales.y, (i & 1u) == 1u));
}

fn x_piece(row: u32, i: u32) -> Bytes { return Bytes(x_half(row, i, 0u), x_half(row, i, 1u), x_scale(row, i) * 0.0625); }

fn product(mine: Piece, other: Bytes) -> f32 {
  let low = (mine.nibbles << vec4u(4u)) & vec4u(0xf0f0f0f0u);
  let high = mine.nibbles & vec4u(0xf0f0f0f0u);
  let sum = dot4I8Packed(low.x, other.low.x) + dot4I8Packed(low.y, other.low.y) + dot4I8Packed(low.z, other.low.z) + dot4I8Packed(low.w, other.low.w)
    + dot4I8Packed(high.x, other.high.x) + dot4I8Packed(high.y, other.high.y) + dot4I8Packed(high.z, other.high.z) + dot4I8Packed(high.w, other.high.w);
  return f32(sum) * (mine.scale * other.scale);
}
