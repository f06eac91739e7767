// The rows of x that products in float32 read; with NORM, what the RMS norm scales each of a workgroup's by.
//#include x_rows
//#if NORM
//#include group_reduce
var<workgroup> inverses: array<f32, X_ROWS>;

fn prepare(rows: u32, lane: u32) {
  for (var row = 0u; row < rows; row++) {
    var squares = 0.0;
    for (var column = 4u * lane; column < COLUMNS; column += 4u * GROUP) {
      let four = stored4(first_x_row + row, column);
      squares += dot(four, four);
      stage(row, column, four);
    }
    let mean = group_sum(squares, lane) / f32(COLUMNS);
    if (lane == 0u) { inverses[row] = 1.0 / sqrt(mean + p.eps); }
  }
  workgroupBarrier();
}

fn inverse_of(row: u32) -> f32 { return inverses[row]; }
//#else
fn prepare(rows: u32, lane: u32) {}
fn inverse_of(row: u32) -> f32 { return 1.0; }
//#endif
