// A matrix in its storage format, decoded in the shader: `weight1` one number, `weight4` four
// neighbours in a row, `weight8` eight, zero beyond its end. ALIGNED: rows are whole groups of four;
// EIGHTS: of eight, and the format's file has a `weight8_aligned` of its own. `eight` is what products
// of few tokens read: with BLOCKS, numbers of which the weights are scale * number + offset, so that a
// product does that once for all eight.
//#include weight_shape
struct Eight { a: vec4f, b: vec4f, scale: f32, offset: f32 }

//#include weight_{WEIGHT}

fn weight4(row: u32, column: u32) -> vec4f {
//#if ALIGNED
  return weight4_aligned(row, column);
//#else
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < p.weight.columns) { four[i] = weight1(row, column + i); }
  }
  return four;
//#endif
}

fn weight8(row: u32, column: u32) -> array<vec4f, 2> {
//#if EIGHTS
  return weight8_aligned(row, column);
//#else
  var eight = array(weight4(row, column), vec4f());
  if (column + 4u < p.weight.columns) { eight[1] = weight4(row, column + 4u); }
  return eight;
//#endif
}

//#if BLOCKS
fn eight(row: u32, column: u32) -> Eight { return eight_of_block(row, column); }

fn weight8_aligned(row: u32, column: u32) -> array<vec4f, 2> {
  let e = eight_of_block(row, column);
  return array(e.scale * e.a + e.offset, e.scale * e.b + e.offset);
}

fn weight1(row: u32, column: u32) -> f32 { return weight4_aligned(row, column - column % 4u)[column % 4u]; }
//#else
fn eight(row: u32, column: u32) -> Eight {
  let numbers = weight8(row, column);
  return Eight(numbers[0], numbers[1], 1.0, 0.0);
}
//#endif
//#if FOUR_OF_EIGHT
fn weight4_aligned(row: u32, column: u32) -> vec4f { return weight8_aligned(row, column - column % 8u)[column / 4u % 2u]; }
//#endif
