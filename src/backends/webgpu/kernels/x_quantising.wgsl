// The rows of x that products in integers read, which each workgroup quantises to its own memory: signed
// bytes, 32 neighbours with one scale. With NORM also what the RMS norm scales each row by, which the bytes
// do not depend on. For few workgroups this costs less than waiting for quantise_rows.
//#include x_rows
//#if NORM
//#include group_reduce
var<workgroup> inverses: array<f32, X_ROWS>;
//#endif
const X_BLOCKS: u32 = COLUMNS / 32u;
var<workgroup> x_bytes: array<vec4u, X_ROWS * X_BLOCKS * 2u>;
var<workgroup> x_scales: array<f32, X_ROWS * X_BLOCKS>;

// Where half a block lies (see quantised_row).
fn half_of(row: u32, block: u32, half: u32) -> u32 {
  return select(2u * (row * X_BLOCKS + block) + half, (2u * row + half) * X_BLOCKS + block, HALVES_APART);
}

fn x_half(row: u32, block: u32, half: u32) -> vec4u { return x_bytes[half_of(row, block, half)]; }
fn x_scale(row: u32, block: u32) -> f32 { return x_scales[row * X_BLOCKS + block]; }

fn bytes_of(four: vec4f) -> u32 { return pack4xI8(vec4i(round(four))); }

fn prepare(rows: u32, lane: u32) {
  for (var row = 0u; row < rows; row++) {
    var squares = 0.0;
    for (var block = lane; block < X_BLOCKS; block += GROUP) {
      var fours = array<vec4f, 8>();
      var largest = 0.0;
      for (var i = 0u; i < 8u; i++) {
        let column = 32u * block + 4u * i;
        let four = stored4(first_x_row + row, column);
        squares += dot(four, four);
        fours[i] = four * norm4(column);
        let size = abs(fours[i]);
        largest = max(max(largest, max(size.x, size.y)), max(size.z, size.w));
      }
      // Of the least numbers the inverse would overflow; they round to zero.
      let inverse = select(0.0, 127.0 / largest, largest > 1e-30);
      x_scales[row * X_BLOCKS + block] = largest / 127.0;
      for (var half = 0u; half < 2u; half++) {
        let i = 4u * half;
        x_bytes[half_of(row, block, half)] = vec4u(bytes_of(fours[i] * inverse), bytes_of(fours[i + 1u] * inverse), bytes_of(fours[i + 2u] * inverse), bytes_of(fours[i + 3u] * inverse));
      }
    }
//#if NORM
    let mean = group_sum(squares, lane) / f32(COLUMNS);
    if (lane == 0u) { inverses[row] = 1.0 / sqrt(mean + p.eps); }
//#endif
  }
  workgroupBarrier();
}

//#if NORM
fn inverse_of(row: u32) -> f32 { return inverses[row]; }
//#else
fn inverse_of(row: u32) -> f32 { return 1.0; }
//#endif
