// The negative log-probability of each row's target: log(sum e^x) - x[target]. A workgroup per row.
struct Params { rows: u32, columns: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
//#include grid
//#include reduce
//#include row_exponentials
//#include fault

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let found = exponentials(row * p.columns, lane);
  if (lane > 0u) { return; }
  let wanted = targets[row];
  if (wanted < 0 || u32(wanted) >= p.columns) { raise(p.fault, wanted); return; }
  loss[row] = found.x + log(found.y) - logits[row * p.columns + u32(wanted)];
}
