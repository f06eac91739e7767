// As products_float, of x in signed bytes (see prepare_integer) and a matrix in blocks that integers are
// multiplied with as they are stored: a lane takes a piece of 16 bytes at a time.
//#include weight_shape
//#include integers_{WEIGHT}

const PIECES: u32 = COLUMNS / PIECE_COLUMNS;

fn multiply(first_row: u32, end: u32, x_row: u32, lane: u32) -> array<f32, EACH * TOKENS> {
  var sums = array<f32, EACH * TOKENS>();
  for (var first = lane % LANES; first < PIECES; first += UNROLL * LANES) {
    var pieces = array<Piece, EACH * UNROLL>();
    for (var u = 0u; u < UNROLL; u++) {
      for (var r = 0u; r < EACH; r++) { pieces[u * EACH + r] = piece(min(first_row + r, end - 1u), min(first + u * LANES, PIECES - 1u)); }
    }
    for (var u = 0u; u < UNROLL; u++) {
      let i = first + u * LANES;
      if (i < PIECES) {
        for (var t = 0u; t < TOKENS; t++) {
          let other = x_piece(x_row + min(t, p.tokens - 1u), i);
          for (var r = 0u; r < EACH; r++) { sums[r * TOKENS + t] += product(pieces[u * EACH + r], other); }
        }
      }
    }
  }
  return sums;
}
