// sequence_loads: what each row's affinities to experts weigh in the balance loss by sequence (see the
// op). A workgroup per row; that of a sequence's first row counts for all of them.
struct Params { rows: u32, choices: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read> starts: array<i32>;
//#include grid

var<workgroup> counts: array<atomic<u32>, EXPERTS>;
var<workgroup> sequences: atomic<u32>;
var<workgroup> length: atomic<u32>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group_index(group, groups);
  if (first >= p.rows || u32(starts[first]) != first) { return; }
  for (var row = lane; row < p.rows; row += GROUP) {
    let start = u32(starts[row]);
    if (start == row) { atomicAdd(&sequences, 1u); }
    if (start != first) { continue; }
    atomicAdd(&length, 1u);
    for (var c = row * p.choices; c < (row + 1u) * p.choices; c++) { atomicAdd(&counts[u32(indices[c])], 1u); }
  }
  workgroupBarrier();
  let n = atomicLoad(&length);
  let factor = f32(EXPERTS) / (f32(p.choices) * f32(n) * f32(n) * f32(atomicLoad(&sequences)));
  for (var i = lane; i < n * EXPERTS; i += GROUP) { out[first * EXPERTS + i] = f32(atomicLoad(&counts[i % EXPERTS])) * factor; }
}
