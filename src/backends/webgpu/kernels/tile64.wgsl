// A tile of 64 x 64 sums over 16 columns of A and rows of B in workgroup memory: 256 lanes, lane l has
// rows 4 (l / 16) ... and columns 4 (l % 16) ...
var<workgroup> a_tile: array<vec4f, 256>;
var<workgroup> b_tile: array<vec4f, 256>;

fn multiply_tiles(sums: ptr<function, array<vec4f, 4>>, lane: u32) {
  let row = lane / 16u;
  let column = lane % 16u;
  for (var k = 0u; k < 16u; k++) {
    let left = a_tile[k * 16u + row];
    let right = b_tile[k * 16u + column];
    (*sums)[0] += left.x * right;
    (*sums)[1] += left.y * right;
    (*sums)[2] += left.z * right;
    (*sums)[3] += left.w * right;
  }
}
