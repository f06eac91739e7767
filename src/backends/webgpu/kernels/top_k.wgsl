// top_k: the k largest of each row of COLUMNS, largest first, lowest index first among equals.
// Where only the best of GROUPS equal parts compete, a part's score is the sum of its two largest
// numbers (SUM2) or its largest. With SOFTMAX, the values of what softmax makes of the row, which keeps
// its order; with NORMALIZE, over their sum and epsilon. A workgroup per row.
struct Params { rows: u32, k: u32, picked: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#include grid
//#include argmax
//#if SOFTMAX
//#include reduce
//#endif

const PART: u32 = COLUMNS / GROUPS;
var<workgroup> taken: array<u32, COLUMNS>;
var<workgroup> closed: array<u32, GROUPS>;
var<workgroup> score: array<f32, GROUPS>;

fn part_score(base: u32) -> f32 {
  var best = x[base];
  var second = LOWEST;
  for (var i = 1u; i < PART; i++) {
    let value = x[base + i];
    second = max(second, min(best, value));
    best = max(best, value);
  }
  if (SUM2 && PART > 1u) { return best + second; }
  return best;
}

// Leaves only the `picked` parts of the highest scores open.
fn close_parts(base: u32, lane: u32) {
  for (var g = lane; g < GROUPS; g += GROUP) {
    closed[g] = 1u;
    score[g] = part_score(base + g * PART);
  }
  for (var n = 0u; n < p.picked; n++) {
    workgroupBarrier();
    var best = Candidate(LOWEST, COLUMNS);
    for (var g = lane; g < GROUPS; g += GROUP) {
      if (closed[g] == 1u) { best = better(best, Candidate(score[g], g)); }
    }
    let winner = reduce_best(best, lane);
    if (lane == 0u) { closed[winner.index] = 0u; }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let base = row * COLUMNS;
  for (var i = lane; i < COLUMNS; i += GROUP) { taken[i] = 0u; }
  if (p.picked < GROUPS) { close_parts(base, lane); } else { for (var g = lane; g < GROUPS; g += GROUP) { closed[g] = 0u; } }
  for (var n = 0u; n < p.k; n++) {
    workgroupBarrier();
    var best = Candidate(LOWEST, COLUMNS);
    for (var i = lane; i < COLUMNS; i += GROUP) {
      let value = select(x[base + i], LOWEST, closed[i / PART] == 1u);
      if (taken[i] == 0u) { best = better(best, Candidate(value, i)); }
    }
    let winner = reduce_best(best, lane);
    if (lane == 0u) {
      taken[winner.index] = 1u;
      values[row * p.k + n] = x[base + winner.index];
      indices[row * p.k + n] = i32(winner.index);
    }
  }
//#if SOFTMAX
  var largest = LOWEST;
  for (var i = lane; i < COLUMNS; i += GROUP) { largest = max(largest, x[base + i]); }
  largest = reduce_max(largest, lane);
  var weight = 0.0;
  for (var i = lane; i < COLUMNS; i += GROUP) { weight += exp(x[base + i] - largest); }
  weight = reduce_sum(weight, lane);
  // One lane wrote the values, and rewrites them.
  if (lane != 0u) { return; }
  var sum = p.epsilon;
  for (var n = 0u; n < p.k; n++) {
    let score = exp(values[row * p.k + n] - largest) / weight;
    values[row * p.k + n] = score;
    sum += score;
  }
  if (NORMALIZE) {
    for (var n = 0u; n < p.k; n++) { values[row * p.k + n] /= sum; }
  }
//#endif
}
