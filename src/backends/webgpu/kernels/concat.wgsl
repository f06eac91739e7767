// concat: rows of a (n numbers) followed by rows of b (m numbers).
struct Params { count: u32, n: u32, m: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Number>;
@group(0) @binding(2) var<storage, read> a: array<Number>;
@group(0) @binding(3) var<storage, read> b: array<Number>;
//#include grid
//#include number

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let width = p.n + p.m;
  let row = i / width;
  let column = i % width;
  if (column < p.n) { out[i] = a[row * p.n + column]; } else { out[i] = b[row * p.m + column - p.n]; }
}
