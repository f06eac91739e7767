// softmax_top_k in a chain: which experts, and what their results are weighted with. Every workgroup finds
// that for itself, which takes less time than to be told. SHARE lanes compare a number with all others.
const LOWEST: f32 = -3.4028234e38;

fn stage(group: u32, lane: u32) {
  workgroupBarrier();
  let quad = min(lane, COLUMNS / 4u - 1u);
  let four = wait4(X_AT, quad, look4(X_AT, quad));
  if (lane < COLUMNS / 4u) {
    // NaN would have no rank.
    for (var i = 0u; i < 4u; i++) { parts[4u * lane + i] = select(LOWEST, four[i], four[i] >= LOWEST); }
  }
  workgroupBarrier();
  let at = min(lane / SHARE, COLUMNS - 1u);
  let mine = parts[at];
  var rank = 0u;
  for (var j = lane % SHARE; j < COLUMNS; j += SHARE) {
    let other = parts[j];
    rank += select(0u, 1u, other > mine || (other == mine && j < at));
  }
  for (var distance = 1u; distance < SHARE; distance *= 2u) { rank += across(rank, lane, distance); }
  let first = lane < COLUMNS * SHARE && lane % SHARE == 0u;
  if (first && rank < K) {
    chosen[rank] = at;
    chosen_weights[rank] = mine;
  }
  workgroupBarrier();
  let largest = chosen_weights[0];
  let all = subgroup_sum(select(0.0, exp(mine - largest), first));
  if (lane % SUBGROUP == 0u) { squares[lane / SUBGROUP] = all; }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < GROUP / SUBGROUP; i++) { total += squares[i]; }
  var sum = 1.0;
//#if NORMALIZE
  sum = p.norms[STAGE].x;
  for (var i = 0u; i < K; i++) { sum += exp(chosen_weights[i] - largest) / total; }
//#endif
  let weight = exp(chosen_weights[min(lane, K - 1u)] - largest) / total / sum;
  workgroupBarrier();
  if (lane < K) { chosen_weights[lane] = weight; }
  workgroupBarrier();
}
