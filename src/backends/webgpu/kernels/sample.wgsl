// sample, second half: the best of a row's parts becomes its next token, and its position grows by one.
struct Params { rows: u32, parts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> tokens: array<i32>;
@group(0) @binding(2) var<storage, read_write> positions: array<i32>;
@group(0) @binding(3) var<storage, read> best: array<vec2u>;
@group(0) @binding(4) var<storage, read> slots: array<i32>;
//#include grid
//#include argmax

const NO_TOKEN: u32 = 0xffffffffu;
const LARGEST: f32 = 3.4028234e38;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  if (slots[row] < 0) { return; }
  var mine = Candidate(LOWEST, NO_TOKEN);
  for (var part = lane; part < p.parts; part += GROUP) {
    let other = best[row * p.parts + part];
    mine = better(mine, Candidate(bitcast<f32>(other.x), other.y));
  }
  let winner = reduce_best(mine, lane);
  if (lane == 0u) {
    tokens[row] = select(-1, i32(winner.index), winner.index != NO_TOKEN && winner.value <= LARGEST);
    positions[row]++;
  }
}
