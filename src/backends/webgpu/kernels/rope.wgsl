// rope: rotates pairs of the first 2F numbers of each head of x [T, N, H] by position * frequency;
// the rest pass. INTERLEAVED pairs (2i, 2i + 1), otherwise (i, i + F). A lane per pair, and per number
// that passes: `count` in all.
struct Params { count: u32, head_width: u32, heads: u32, frequencies: u32, amplitude: f32, direction: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read> frequency: array<f32>;
//#include grid
//#include rotation

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let each = p.head_width - p.frequencies;
  let head = i / each;
  let f = i % each;
  if (f >= p.frequencies) {
    let at = head * p.head_width + p.frequencies + f;
    out[at] = x[at];
    return;
  }
  let at = head * p.head_width + pair_at(f);
  let pair = turned(vec2f(x[at.x], x[at.y]), positions[head / p.heads], f);
  out[at.x] = pair.x;
  out[at.y] = pair.y;
}
