// As products_float, of x in signed bytes (see quantise_rows) and a matrix in blocks that integers are
// multiplied with as they are stored: a lane takes a piece of 16 bytes at a time.
//#include weight_shape
//#include pieces_{WEIGHT}

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
//#if COMBINE

// The weighted sums over all choices of a token (see expert_combine): lanes share the pieces of all of them.
fn combine_choices(first_row: u32, lane: u32) -> array<f32, EACH> {
  var sums = array<f32, EACH>();
  for (var first = lane % LANES; first < X_ROWS * PIECES; first += UNROLL * LANES) {
    var pieces = array<Piece, EACH * UNROLL>();
    for (var u = 0u; u < UNROLL; u++) {
      let i = min(first + u * LANES, X_ROWS * PIECES - 1u);
      for (var r = 0u; r < EACH; r++) { pieces[u * EACH + r] = piece(chosen_row(i / PIECES, first_row + r), i % PIECES); }
    }
    for (var u = 0u; u < UNROLL; u++) {
      let i = first + u * LANES;
      if (i < X_ROWS * PIECES) {
        let other = x_piece(i / PIECES, i % PIECES);
        for (var r = 0u; r < EACH; r++) { sums[r] += weights[first_x_row + i / PIECES] * product(pieces[u * EACH + r], other); }
      }
    }
  }
  return sums;
}
//#endif
