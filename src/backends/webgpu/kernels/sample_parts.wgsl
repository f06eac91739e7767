// sample, first half: of each part of a row of logits the best score and its token. Scores are
// logits / temperature + Gumbel noise, or the logits alone at temperature 0.
struct Params { rows: u32, columns: u32, parts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> best: array<vec2u>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read> slots: array<i32>;
@group(0) @binding(5) var<storage, read> temperatures: array<f32>;
@group(0) @binding(6) var<storage, read> seeds: array<i32>;
//#include grid
//#include argmax

const NO_TOKEN: u32 = 0xffffffffu;

fn scramble(bits: u32) -> u32 {
  var x = (bits ^ (bits >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  return x ^ (x >> 16u);
}

fn gumbel(row: u32, seed: u32, id: u32) -> f32 {
  let bits = scramble(scramble(row + id) ^ seed);
  let v = (f32(bits) + 0.5) * 2.3283064365386963e-10;
  // -log(1 - v): by its series where v is small, and where 1 - v would be 0 what float32 has nearest to that.
  let exponential = select(-log(max(1.0 - v, 5.9604645e-8)), v * (1.0 + v * (0.5 + v * 0.33333334)), v < 0.001);
  return -log(exponential);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let row = item / p.parts;
  if (row >= p.rows) { return; }
  if (slots[row] < 0) { return; }
  let seed = u32(seeds[row]);
  let key = scramble(seed ^ scramble(u32(positions[row])));
  let temperature = temperatures[row];
  var mine = Candidate(LOWEST, NO_TOKEN);
  for (var id = item % p.parts * GROUP + lane; id < p.columns; id += p.parts * GROUP) {
    var score = logits[row * p.columns + id];
    if (temperature > 0.0) { score = score / temperature + gumbel(key, seed, id); }
    if (score > mine.value) { mine = Candidate(score, id); }
  }
  let winner = reduce_best(mine, lane);
  if (lane == 0u) { best[item] = vec2u(bitcast<u32>(winner.value), winner.index); }
}
