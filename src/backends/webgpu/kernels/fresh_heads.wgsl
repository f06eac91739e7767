// What paged_attention_split with FRESH does before it attends: the norms and rotation (see rms_norm_rope) of a
// token's SHARE query heads and of its key head, which with its value goes to its page.
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
//#include rotation
//#include half

const PAIRS: u32 = HEAD / 2u;
// Lanes that add up the squares of a head.
const HEAD_LANES: u32 = GROUP / HEAD_SLOTS;
// The queries, then the key.
var<workgroup> numbers: array<f32, (SHARE + 1u) * HEAD>;
var<workgroup> squares: array<f32, GROUP>;

fn prepare_heads(first_head: u32, kv_row: u32, position: i32, lane: u32) {
  for (var i = lane; i < SHARE * HEAD; i += GROUP) { numbers[i] = q[first_head * HEAD + i]; }
  for (var i = lane; i < HEAD; i += GROUP) { numbers[SHARE * HEAD + i] = k_rows[kv_row * HEAD + i]; }
  workgroupBarrier();
  let mine = min(lane / HEAD_LANES, SHARE) * HEAD;
  var square = 0.0;
  for (var i = lane % HEAD_LANES; i < HEAD; i += HEAD_LANES) { square += numbers[mine + i] * numbers[mine + i]; }
  squares[lane] = square;
  workgroupBarrier();
  for (var item = lane; item < (SHARE + 1u) * PAIRS; item += GROUP) {
    let head = item / PAIRS;
    let f = item % PAIRS;
    var sum = 0.0;
    for (var i = 0u; i < HEAD_LANES; i++) { sum += squares[head * HEAD_LANES + i]; }
    let inverse = 1.0 / sqrt(sum / f32(HEAD) + p.eps);
    // Behind the pairs that rotate come those that do not, each of two neighbours.
    let rotates = f < p.frequencies;
    let within = select(vec2u(2u * f, 2u * f + 1u), pair_at(f), rotates);
    let at = head * HEAD + within;
    var scales = vec2f(k_weight[within.x], k_weight[within.y]);
    if (head < SHARE) { scales = vec2f(q_weight[within.x], q_weight[within.y]); }
    var pair = vec2f(numbers[at.x], numbers[at.y]) * inverse * (scales + p.offset);
    if (rotates) { pair = turned(pair, position, f); }
    numbers[at.x] = pair.x;
    numbers[at.y] = pair.y;
  }
  workgroupBarrier();
}

fn four_numbers(i: u32) -> vec4f { return vec4f(numbers[4u * i], numbers[4u * i + 1u], numbers[4u * i + 2u], numbers[4u * i + 3u]); }

//#if HALF
fn halves_of(four: vec4f) -> vec2u {
  return vec2u(half_bits(four.x) | (half_bits(four.y) << 16u), half_bits(four.z) | (half_bits(four.w) << 16u));
}
fn store_key(to: u32, lane: u32) {
  for (var i = lane; i < HEAD / 8u; i += GROUP) {
    let at = SHARE * HEAD / 4u + 2u * i;
    k[to * HEAD / 8u + i] = vec4u(halves_of(four_numbers(at)), halves_of(four_numbers(at + 1u)));
  }
}
fn value_words(four: vec4f) -> ValueWords { return halves_of(four); }
//#else
fn store_key(to: u32, lane: u32) {
  for (var i = lane; i < HEAD / 4u; i += GROUP) { k[to * HEAD / 4u + i] = four_numbers(SHARE * HEAD / 4u + i); }
}
fn value_words(four: vec4f) -> ValueWords { return four; }
//#endif

// Row `to` of the stores becomes the token's key and value.
fn store_fresh(to: u32, kv_row: u32, lane: u32) {
  store_key(to, lane);
  let width = p.value_width / 4u;
  for (var i = lane; i < width; i += GROUP) { v[to * width + i] = value_words(v_rows[kv_row * width + i]); }
}
