// head_linear (see there) where rows are whole eights, which are read at once. Plain: LANES lanes share a
// result. TRANSPOSED: a workgroup per token and head; a lane adds up eight columns over every PARTSth row, UNROLL
// of them under way at a time.
struct Params { weight: Weight, count: u32, heads: u32, block: u32, start: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//#include grid
//#include weight
//#if TRANSPOSED
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<f32>;

const PARTS: u32 = GROUP / COLUMN_LANES;
var<workgroup> sums: array<array<vec4f, 2>, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  if (item >= p.count) { return; }
  let first = (item % p.heads) * p.block + p.start;
  for (var base = 0u; base < p.weight.columns; base += 8u * COLUMN_LANES) {
    let column = base + 8u * (lane % COLUMN_LANES);
    var a = vec4f();
    var b = vec4f();
    if (column < p.weight.columns) {
      var j = lane / COLUMN_LANES;
      for (; j + (UNROLL - 1u) * PARTS < p.rows; j += UNROLL * PARTS) {
        //#unroll
        for (var u = 0u; u < UNROLL; u++) {
          let weights_{u} = weight8(first + j + u * PARTS, column);
        }
        //#unroll
        for (var u = 0u; u < UNROLL; u++) {
          a += x[item * p.rows + j + u * PARTS] * weights_{u}[0];
          b += x[item * p.rows + j + u * PARTS] * weights_{u}[1];
        }
      }
      for (; j < p.rows; j += PARTS) {
        let weights = weight8(first + j, column);
        a += x[item * p.rows + j] * weights[0];
        b += x[item * p.rows + j] * weights[1];
      }
    }
    workgroupBarrier();
    sums[lane] = array(a, b);
    workgroupBarrier();
    if (lane < COLUMN_LANES && column < p.weight.columns) {
      for (var part = 1u; part < PARTS; part++) {
        a += sums[part * COLUMN_LANES + lane][0];
        b += sums[part * COLUMN_LANES + lane][1];
      }
      y[(item * p.weight.columns + column) / 4u] = a;
      y[(item * p.weight.columns + column) / 4u + 1u] = b;
    }
  }
}
//#else
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let result = group_index(group, groups) * TEAMS + lane / LANES;
  // Lanes without a result compute the last again: all must add up.
  let i = min(result, p.count - 1u);
  let item = i / p.rows;
  let row = (item % p.heads) * p.block + p.start + i % p.rows;
  var sum = 0.0;
  for (var column = 8u * (lane % LANES); column < p.weight.columns; column += 8u * LANES) {
    let weights = weight8(row, column);
    let at = (item * p.weight.columns + column) / 4u;
    sum += dot(weights[0], x[at]) + dot(weights[1], x[at + 1u]);
  }
  let all = team_sums(array(sum), lane);
  if (lane % LANES == 0u && result < p.count) { y[i] = all[0]; }
}
//#endif
