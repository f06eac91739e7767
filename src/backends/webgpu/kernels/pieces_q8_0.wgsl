// Pieces of 16 signed bytes, half a block of 32. Eight blocks lie side by side (see pack_blocks): their
// bytes, then their eight f16 scales.
@group(0) @binding(3) var<storage, read> w: array<vec4u>;
const PIECE_COLUMNS: u32 = 16u;

struct Piece { bytes: vec4u, scale: f32 }

fn piece(row: u32, i: u32) -> Piece {
  let first = (row * (COLUMNS / 256u) + i / 16u) * 17u;
  let scales = unpack2x16float(w[first + 16u][(i % 16u) / 4u]);
  return Piece(w[first + i % 16u], select(scales.x, scales.y, (i & 2u) == 2u));
}

fn x_piece(row: u32, i: u32) -> Piece { return Piece(x_half(row, i / 2u, i & 1u), x_scale(row, i / 2u)); }

fn product(mine: Piece, other: Piece) -> f32 {
  let sum = dot4I8Packed(mine.bytes.x, other.bytes.x) + dot4I8Packed(mine.bytes.y, other.bytes.y)
    + dot4I8Packed(mine.bytes.z, other.bytes.z) + dot4I8Packed(mine.bytes.w, other.bytes.w);
  return f32(sum) * (mine.scale * other.scale);
}
