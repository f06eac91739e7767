// Rows of each token's choices added up: x [T, k, columns] -> out [T, columns].
struct Params { count: u32, choices: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Number>;
@group(0) @binding(2) var<storage, read> x: array<Number>;
//#include grid
//#include number

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let first = i / p.columns * p.choices;
  var sum = Number();
  for (var c = first; c < first + p.choices; c++) { sum += x[c * p.columns + i % p.columns]; }
  out[i] = sum;
}
