// What kernels begin with that attend from queries, keys and values as they come from their products: the norms
// and rotation (see rms_norm_rope) of a token's SHARE query heads and of its key head. HEAD_LANES lanes share a
// head. The newest key and value go to their page.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
  frequencies: u32, eps: f32, offset: f32, amplitude: f32, direction: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
//#if HALF
alias KeyWords = vec4u;
alias ValueWords = vec2u;
const KEY_WORDS: u32 = HEAD / 8u;
//#else
alias KeyWords = vec4f;
alias ValueWords = vec4f;
const KEY_WORDS: u32 = HEAD / 4u;
//#endif
@group(0) @binding(2) var<storage, read_write> k: array<KeyWords>;
@group(0) @binding(3) var<storage, read_write> v: array<ValueWords>;
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> k_rows: array<f32>;
@group(0) @binding(6) var<storage, read> v_rows: array<vec4f>;
@group(0) @binding(7) var<storage, read> q_weight: array<f32>;
@group(0) @binding(8) var<storage, read> k_weight: array<f32>;
@group(0) @binding(9) var<storage, read> positions: array<i32>;
@group(0) @binding(10) var<storage, read> frequency: array<f32>;
@group(0) @binding(11) var<storage, read> slots: array<i32>;
@group(0) @binding(12) var<storage, read> page_table: array<i32>;
//#include grid
//#include pages
//#include visible
//#include rotation
//#include half
//#include lanes_sum

const PAIRS: u32 = HEAD / 2u;
// Cosine and sine by which each pair turns.
var<workgroup> rotations: array<vec2f, PAIRS>;
// The scaled queries, and behind them the newest key.
var<workgroup> query: array<vec4f, (SHARE + 1u) * HEAD / 4u>;
// Two numbers of a head and the weights of their norm.
struct Pair { numbers: vec2f, weights: vec2f }
// What a lane reads: of its head, every GROUP-th four numbers of the value, every GROUP-th frequency.
struct Asked { pairs: array<Pair, HEAD_PAIRS>, values: array<vec4f, FOURS>, frequencies: array<f32, FREQUENCIES> }

// Where in its head the numbers of pair f lie: behind the pairs that rotate come those that do not, each of
// two neighbours.
fn within_head(f: u32) -> vec2u { return select(vec2u(2u * f, 2u * f + 1u), pair_at(f), f < p.frequencies); }

fn pair_of(lane: u32, turn: u32) -> u32 { return min(lane % HEAD_LANES + turn * HEAD_LANES, PAIRS - 1u); }

fn ask_heads(first_head: u32, kv_row: u32, lane: u32) -> Asked {
  let head = lane / HEAD_LANES;
  var asked: Asked;
//#unroll
  for (var j = 0u; j < FREQUENCIES; j++) {
    asked.frequencies[j] = frequency[min(lane + j * GROUP, p.frequencies - 1u)];
  }
//#unroll
  for (var j = 0u; j < FOURS; j++) {
    asked.values[j] = v_rows[kv_row * COLUMNS + min(lane + j * GROUP, COLUMNS - 1u)];
  }
  if (head < SHARE) {
//#unroll
    for (var j = 0u; j < HEAD_PAIRS; j++) {
      let at_{j} = within_head(pair_of(lane, j));
      let from_{j} = (first_head + head) * HEAD + at_{j};
      asked.pairs[j] = Pair(vec2f(q[from_{j}.x], q[from_{j}.y]), vec2f(q_weight[at_{j}.x], q_weight[at_{j}.y]));
    }
  } else {
//#unroll
    for (var j = 0u; j < HEAD_PAIRS; j++) {
      let at_{j} = within_head(pair_of(lane, j));
      let from_{j} = kv_row * HEAD + at_{j};
      asked.pairs[j] = Pair(vec2f(k_rows[from_{j}.x], k_rows[from_{j}.y]), vec2f(k_weight[at_{j}.x], k_weight[at_{j}.y]));
    }
  }
  return asked;
}

// Puts the scaled queries, and the key behind them, into `query`.
fn prepare_heads(asked: Asked, position: i32, lane: u32) {
  let head = lane / HEAD_LANES;
//#unroll
  for (var j = 0u; j < FREQUENCIES; j++) {
    if (lane + j * GROUP < p.frequencies) { rotations[lane + j * GROUP] = rotation(position, asked.frequencies[j]); }
  }
  var square = 0.0;
//#unroll
  for (var j = 0u; j < HEAD_PAIRS; j++) {
    if (lane % HEAD_LANES + j * HEAD_LANES < PAIRS) { square += dot(asked.pairs[j].numbers, asked.pairs[j].numbers); }
  }
  let sum = lanes_sum(HEAD_LANES, square, lane);
  let inverse = select(1.0, p.scale, head < SHARE) / sqrt(sum / f32(HEAD) + p.eps);
  workgroupBarrier();
  if (head <= SHARE) {
//#unroll
    for (var j = 0u; j < HEAD_PAIRS; j++) {
      let f_{j} = pair_of(lane, j);
      var pair_{j} = asked.pairs[j].numbers * inverse * (asked.pairs[j].weights + p.offset);
      if (f_{j} < p.frequencies) { pair_{j} = turned_by(rotations[f_{j}], pair_{j}); }
      let at_{j} = head * HEAD + within_head(f_{j});
      query[at_{j}.x / 4u][at_{j}.x % 4u] = pair_{j}.x;
      query[at_{j}.y / 4u][at_{j}.y % 4u] = pair_{j}.y;
    }
  }
  workgroupBarrier();
}

//#if HALF
fn halves_of(four: vec4f) -> vec2u {
  return vec2u(half_bits(four.x) | (half_bits(four.y) << 16u), half_bits(four.z) | (half_bits(four.w) << 16u));
}
fn new_key(i: u32) -> KeyWords { return vec4u(halves_of(query[SHARE * HEAD / 4u + 2u * i]), halves_of(query[SHARE * HEAD / 4u + 2u * i + 1u])); }
fn value_words(four: vec4f) -> ValueWords { return halves_of(four); }
//#else
fn new_key(i: u32) -> KeyWords { return query[SHARE * HEAD / 4u + i]; }
fn value_words(four: vec4f) -> ValueWords { return four; }
//#endif

// Storage buffers are few: the merge reports what is missing, as a position and one more.
var<private> missing = 0u;
fn note_missing(position: u32) { missing = max(missing, position + 1u); }
fn noted() -> f32 { return f32(missing); }
