// A lane's share of the products of EACH rows of one matrix with up to TOKENS rows of x: LANES lanes share
// the rows, eight columns each at a time. A lane asks for UNROLL times EACH pieces of the matrix before it
// uses the first, because reading them is what the time goes to.
//#include weight

const STRIDE: u32 = 8u * LANES;

// Adds the products of eight columns to the sums.
fn add_products(first_row: u32, end: u32, x_row: u32, column: u32, sums: ptr<function, array<f32, EACH * TOKENS>>) {
  var pieces = array<Eight, EACH>();
  for (var r = 0u; r < EACH; r++) { pieces[r] = eight(min(first_row + r, end - 1u), column); }
  // Tokens beyond the last repeat it; their sums are dropped.
  for (var t = 0u; t < TOKENS; t++) {
    let row = x_row + min(t, p.tokens - 1u);
    let a = x4(row, column);
    let b = x4(row, column + 4u);
//#if BLOCKS
    let total = dot(a, vec4f(1.0)) + dot(b, vec4f(1.0));
//#endif
    for (var r = 0u; r < EACH; r++) {
      let product = dot(pieces[r].a, a) + dot(pieces[r].b, b);
//#if BLOCKS
      (*sums)[r * TOKENS + t] += product * pieces[r].scale + total * pieces[r].offset;
//#else
      (*sums)[r * TOKENS + t] += product;
//#endif
    }
  }
}

// Rows first_row to first_row + EACH of the matrix, of which those from `end` on count for nothing, and
// rows of x from `x_row` of the workgroup's on.
fn multiply(first_row: u32, end: u32, x_row: u32, lane: u32) -> array<f32, EACH * TOKENS> {
  var sums = array<f32, EACH * TOKENS>();
  var column = 8u * (lane % LANES);
  let whole = COLUMNS / (UNROLL * STRIDE) * (UNROLL * STRIDE);
  while (column < whole) {
    for (var u = 0u; u < UNROLL; u++) { add_products(first_row, end, x_row, column + u * STRIDE, &sums); }
    column += UNROLL * STRIDE;
  }
  while (column < COLUMNS) {
    add_products(first_row, end, x_row, column, &sums);
    column += STRIDE;
  }
  return sums;
}
//#if COMBINE

// The weighted sums over all choices of a token (see expert_combine): lanes share the pieces of all of them.
fn combine_choices(first_row: u32, lane: u32) -> array<f32, EACH> {
  var sums = array<f32, EACH>();
  let pieces_of_row = (COLUMNS + 7u) / 8u;
  for (var i = lane % LANES; i < X_ROWS * pieces_of_row; i += LANES) {
    let choice = i / pieces_of_row;
    let column = 8u * (i % pieces_of_row);
    let a = stored4(first_x_row + choice, column);
    let b = stored4(first_x_row + choice, column + 4u);
    for (var r = 0u; r < EACH; r++) {
      let numbers = eight(chosen_row(choice, first_row + r), column);
      let product = numbers.scale * (dot(numbers.a, a) + dot(numbers.b, b)) + numbers.offset * (dot(a, vec4f(1.0)) + dot(b, vec4f(1.0)));
      sums[r] += weights[first_x_row + choice] * product;
    }
  }
  return sums;
}
//#endif
