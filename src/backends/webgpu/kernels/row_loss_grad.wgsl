// Gradient of the mean loss of rows (see row_loss): (softmax - 1 at the target) dloss / rows.
struct Params { rows: u32, columns: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
//#include grid
//#include reduce
//#include row_exponentials
//#include fault

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let base = row * p.columns;
  let wanted = targets[row];
  if (lane == 0u && (wanted < 0 || u32(wanted) >= p.columns)) { raise(p.fault, wanted); }
  let found = exponentials(base, lane);
  let factor = dloss[0] / f32(p.rows);
  for (var i = lane; i < p.columns; i += GROUP) {
    dx[base + i] = (exp(logits[base + i] - found.x) / found.y - select(0.0, 1.0, i32(i) == wanted)) * factor;
  }
}
