// A workgroup's part of the positions that a token sees, for SHARE query heads in `query` that share a key head,
// and so its keys and values: walked WALK positions at a time with a running maximum (online softmax, Milakov
// and Gimelshein 2018), TEAM lanes to a key, then COLUMNS lanes to a value. What is left of each head is a row of
// sums and, behind it, the largest score, the total weight and a missing page, for paged_attention_merge.
//#include part
const WALK: u32 = GROUP / TEAM;
const EIGHTS: u32 = HEAD / 8u;
const ROWS: u32 = GROUP / COLUMNS;
var<workgroup> weights: array<f32, SHARE * WALK>;
// The largest scores of each head's tile, of as many keys each as a subgroup has.
var<workgroup> tops: array<f32, SHARE * PARTS>;
var<workgroup> sums: array<vec4f, GROUP>;
var<workgroup> totals: array<f32, GROUP>;
// Row of the store in which this head of each position of the tile lies.
var<workgroup> stored: array<u32, WALK>;
//#include lanes_sum
//#if SUBGROUPS
fn note_top(head: u32, score: f32, lane: u32) {
  let top = subgroupMax(score);
  if (lane % SUBGROUP == 0u) { tops[head * PARTS + lane / SUBGROUP] = top; }
}
//#else
fn note_top(head: u32, score: f32, lane: u32) { tops[head * PARTS + lane / TEAM] = score; }
//#endif

//#if HALF
fn key8(i: u32) -> array<vec4f, 2> {
  let words = k[i];
  return array(vec4f(unpack_halves(words.x), unpack_halves(words.y)), vec4f(unpack_halves(words.z), unpack_halves(words.w)));
}
fn value4(i: u32) -> vec4f { let two = v[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
//#else
fn key8(i: u32) -> array<vec4f, 2> { return array(k[2u * i], k[2u * i + 1u]); }
fn value4(i: u32) -> vec4f { return v[i]; }
//#endif

// Positions `begin` to `until` of a sequence; `slot` is its row of the page table.
fn walk(part: Part, slot: u32, begin: u32, until: u32, lane: u32) {
  let member = lane % TEAM;
  let mine = lane / TEAM;
  let width = p.value_width / 4u;
  let column = lane % COLUMNS;
  let row = lane / COLUMNS;
  //#unroll
  for (var h = 0u; h < SHARE; h++) {
    var sum_{h} = vec4f();
    var total_{h} = 0.0;
    var largest_{h} = LOWEST;
  }
  for (var tile = begin; tile < until; tile += WALK) {
    let count = min(until - tile, WALK);
    workgroupBarrier();
    if (lane < WALK) {
      let position = min(tile + lane, until - 1u);
      var page = page_of(slot, position / PAGE);
      if (page < 0) { note_missing(position); page = 0; }
      stored[lane] = (u32(page) * p.kv_heads + part.kv_head) * PAGE + position % PAGE;
    }
    workgroupBarrier();
    // All that a lane reads of the tile is asked for before any of it is used.
    let key = stored[mine] * EIGHTS;
    //#unroll
    for (var s = 0u; s < STEPS; s++) {
      let key_{s} = key8(key + min(s * TEAM + member, EIGHTS - 1u));
    }
    //#unroll
    for (var j = 0u; j < LOADS; j++) {
      let value_{j} = value4(stored[min(row + j * ROWS, WALK - 1u)] * width + column);
    }
    //#unroll
    for (var h = 0u; h < SHARE; h++) {
      var dot_{h} = 0.0;
      //#unroll
      for (var s = 0u; s < STEPS; s++) {
        if (s * TEAM + member < EIGHTS) {
          let at_{h}_{s} = 2u * (h * EIGHTS + s * TEAM + member);
          dot_{h} += dot(query[at_{h}_{s}], key_{s}[0]) + dot(query[at_{h}_{s} + 1u], key_{s}[1]);
        }
      }
      // Positions beyond the part's end weigh nothing.
      let score_{h} = select(LOWEST, lanes_sum(TEAM, dot_{h}, lane), mine < count);
      if (member == h % TEAM) { weights[h * WALK + mine] = score_{h}; }
      note_top(h, score_{h}, lane);
    }
    workgroupBarrier();
    //#unroll
    for (var h = 0u; h < SHARE; h++) {
      var most_{h} = largest_{h};
      for (var i = 0u; i < PARTS; i++) { most_{h} = max(most_{h}, tops[h * PARTS + i]); }
      let keep_{h} = exp(largest_{h} - most_{h});
      largest_{h} = most_{h};
      sum_{h} *= keep_{h};
      total_{h} *= keep_{h};
      // Each of the TEAM groups of WALK lanes takes every TEAMth head.
      if (h % TEAM == lane / WALK) {
        let at_{h} = h * WALK + lane % WALK;
        weights[at_{h}] = select(0.0, exp(weights[at_{h}] - most_{h}), lane % WALK < count);
      }
    }
    workgroupBarrier();
    if (row < ROWS) {
      //#unroll
      for (var j = 0u; j < LOADS; j++) {
        if (row + j * ROWS < count) {
          //#unroll
          for (var h = 0u; h < SHARE; h++) {
            let weight_{j}_{h} = weights[h * WALK + row + j * ROWS];
            sum_{h} += weight_{j}_{h} * value_{j};
            total_{h} += weight_{j}_{h};
          }
        }
      }
    }
  }
  //#unroll
  for (var h = 0u; h < SHARE; h++) {
    workgroupBarrier();
    sums[lane] = sum_{h};
    totals[lane] = total_{h};
    workgroupBarrier();
    if (lane < COLUMNS) {
      var all_{h} = sums[lane];
      var weight_{h} = totals[lane];
      for (var r = 1u; r < ROWS; r++) { all_{h} += sums[r * COLUMNS + lane]; weight_{h} += totals[r * COLUMNS + lane]; }
      if (SPLITS == 1u) {
        out[(part.first_head + h) * COLUMNS + lane] = all_{h} / weight_{h};
      } else {
        let base_{h} = ((part.first_head + h) * SPLITS + part.split) * (COLUMNS + 1u);
        out[base_{h} + lane] = all_{h};
        if (lane == 0u) { out[base_{h} + COLUMNS] = vec4f(largest_{h}, weight_{h}, noted(), 0.0); }
      }
    }
  }
}
