// rope: rotates pairs of the first 2F numbers of each head of x [T, N, H] by position * frequency;
// the rest pass. INTERLEAVED pairs (2i, 2i + 1), otherwise (i, i + F).
struct Params { count: u32, head_width: u32, heads: u32, frequencies: u32, amplitude: f32, direction: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read> frequency: array<f32>;
//#include grid
//#include sincos

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let column = i % p.head_width;
  if (column >= 2u * p.frequencies) { out[i] = x[i]; return; }
  var f = column % p.frequencies;
  var first = column < p.frequencies;
  var gap = p.frequencies;
  if (INTERLEAVED) { f = column / 2u; first = column % 2u == 0u; gap = 1u; }
  let position = f32(positions[i / (p.head_width * p.heads)]);
  let rotation = cos_sin(position * frequency[f]) * p.amplitude;
  let sine = rotation.y * p.direction;
  if (first) { out[i] = x[i] * rotation.x - x[i + gap] * sine; } else { out[i] = x[i] * rotation.x + x[i - gap] * sine; }
}
