// What the splits of paged_attention_split left of one token's heads, put together (see
// paged_attention_merge). The lanes of a subgroup share the splits of four numbers.
@group(0) @binding(X_BINDING) var<storage, read> left: array<vec4f>;
const LOWEST: f32 = -3.4028234e38;
const COLUMNS: u32 = VALUE / 4u;

fn stage(group: u32, lane: u32) {
  let first = group * QUADS / GROUPS;
  let end = (group + 1u) * QUADS / GROUPS;
  for (var base = first; base < end; base += GROUP / SUBGROUP) {
    let quad = min(base + lane / SUBGROUP, QUADS - 1u);
    let head = quad / COLUMNS * SPLITS * (COLUMNS + 1u);
//#unroll
    for (var j = 0u; j < EACH; j++) {
      let split_{j} = head + min(lane % SUBGROUP + j * SUBGROUP, SPLITS - 1u) * (COLUMNS + 1u);
      let end_{j} = left[split_{j} + COLUMNS];
      let sum_{j} = left[split_{j} + quad % COLUMNS];
    }
    var largest = LOWEST;
    var sum = vec4f();
    var total = 0.0;
//#unroll
    for (var j = 0u; j < EACH; j++) {
      largest = max(largest, end_{j}.x);
    }
    largest = subgroup_max(largest);
//#unroll
    for (var j = 0u; j < EACH; j++) {
      // Those without positions have no weight, and left no sums.
      if (end_{j}.y > 0.0 && lane % SUBGROUP + j * SUBGROUP < SPLITS) {
        let factor_{j} = exp(end_{j}.x - largest);
        sum += factor_{j} * sum_{j};
        total += factor_{j} * end_{j}.y;
      }
      if (end_{j}.z > 0.0) { raise(p.attention_fault, i32(end_{j}.z) - 1); }
    }
    total = subgroup_sum(total);
    let all = vec4f(subgroup_sum(sum.x), subgroup_sum(sum.y), subgroup_sum(sum.z), subgroup_sum(sum.w));
    if (lane % SUBGROUP == 0u && base + lane / SUBGROUP < end) {
      for (var i = 0u; i < 4u; i++) {
        let value = select(0.0, all[i] / total, total > 0.0);
//#if SENT
        send(Y_AT, 4u * quad + i, value);
//#endif
//#if KEPT_ALONE
        results[Y_KEPT + 4u * quad + i] = value;
//#endif
      }
    }
  }
}
