// top_k: the k largest of each row of COLUMNS, largest first, lowest index first among equals: each number
// whose rank is below k goes to the place of its rank. Where only the best of GROUPS equal parts compete, a
// part's score is the sum of its two largest numbers (SUM2) or its largest. With SOFTMAX, the values of what
// softmax makes of the row, which keeps its order; with NORMALIZE, over their sum and epsilon. A workgroup per row.
struct Params { rows: u32, k: u32, picked: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#include grid
//#include group_reduce

const LOWEST: f32 = -3.4028234e38;
const PART: u32 = COLUMNS / GROUPS;
var<workgroup> numbers: array<f32, COLUMNS>;
var<workgroup> score: array<f32, GROUPS>;
var<workgroup> ranks: array<u32, COLUMNS>;

fn part_score(first: u32) -> f32 {
  var best = numbers[first];
  var second = LOWEST;
  for (var i = 1u; i < PART; i++) {
    let value = numbers[first + i];
    second = max(second, min(best, value));
    best = max(best, value);
  }
  if (SUM2 && PART > 1u) { return best + second; }
  return best;
}

// How many come before number i.
fn rank_of(i: u32) -> u32 {
  let mine = numbers[i];
  var rank = 0u;
  for (var j = 0u; j < COLUMNS; j++) {
    let other = numbers[j];
    if (other > mine || (other == mine && j < i)) { rank++; }
  }
  return rank;
}

// Leaves only the `picked` parts of the highest scores: numbers of others are lower than any.
fn close_parts(lane: u32) {
  for (var g = lane; g < GROUPS; g += GROUP) { score[g] = part_score(g * PART); }
  workgroupBarrier();
  for (var i = lane; i < COLUMNS; i += GROUP) {
    let part = i / PART;
    var rank = 0u;
    for (var g = 0u; g < GROUPS; g++) {
      if (score[g] > score[part] || (score[g] == score[part] && g < part)) { rank++; }
    }
    if (rank >= p.picked) { numbers[i] = LOWEST; }
  }
  workgroupBarrier();
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  // NaN would have no rank.
  for (var i = lane; i < COLUMNS; i += GROUP) {
    let number = x[row * COLUMNS + i];
    numbers[i] = select(LOWEST, number, number >= LOWEST);
  }
  workgroupBarrier();
  if (p.picked < GROUPS) { close_parts(lane); }
//#if SOFTMAX
  var largest = LOWEST;
  for (var i = lane; i < COLUMNS; i += GROUP) { largest = max(largest, numbers[i]); }
  largest = group_max(largest, lane);
  var weight = 0.0;
  for (var i = lane; i < COLUMNS; i += GROUP) { weight += exp(numbers[i] - largest); }
  weight = group_sum(weight, lane);
//#endif
  var picked = 0.0;
  for (var i = lane; i < COLUMNS; i += GROUP) { ranks[i] = rank_of(i); }
  // All have compared: the places of those that are picked now hold their values.
  workgroupBarrier();
  for (var i = lane; i < COLUMNS; i += GROUP) {
    if (ranks[i] < p.k) {
      numbers[i] = x[row * COLUMNS + i];
//#if SOFTMAX
      numbers[i] = exp(numbers[i] - largest) / weight;
//#endif
      picked += numbers[i];
    }
  }
  var sum = 1.0;
//#if NORMALIZE
  sum = group_sum(picked, lane) + p.epsilon;
//#endif
  for (var i = lane; i < COLUMNS; i += GROUP) {
    if (ranks[i] < p.k) {
      values[row * p.k + ranks[i]] = numbers[i] / sum;
      indices[row * p.k + ranks[i]] = i32(i);
    }
  }
}
