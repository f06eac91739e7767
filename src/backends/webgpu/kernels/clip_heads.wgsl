// clip_heads: rows of heads whose group's largest score is above the limit shrink by (limit /
// largest)^power. A lane per number of the heads' blocks.
struct Params {
  count: u32, width: u32, heads: u32, block: u32, start: u32, rows: u32, base: u32,
  groups: u32, scores: u32, limit: f32, power: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read> largest: array<f32>;
@group(0) @binding(3) var<storage, read> clip: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count || clip[0] < 0.0) { return; }
  let head = i / (p.rows * p.width);
  let size = p.scores / p.groups;
  let first = head * p.groups / p.heads * size;
  var top = largest[first];
  for (var n = first; n < first + size; n++) { top = max(top, largest[n]); }
  if (top > p.limit) { weight[(p.base + head * p.block + p.start) * p.width + i % (p.rows * p.width)] *= pow(p.limit / top, p.power); }
}
