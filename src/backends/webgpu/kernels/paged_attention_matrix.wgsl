// paged_attention for many tokens of a sequence on the GPU's matrix units (see product_matrix): softmax
// attention of q [T, N, HEAD] over pages of keys [P, K, 64, HEAD] and values [P, K, 64, value_width], of
// which the first VALUE columns count. A workgroup takes ROWS tokens of one head, a subgroup UNIT of
// them, and walks the pages that any of them sees. Queries, keys, values and weights become f16, the
// first three with a scale per row that keeps them in its range; sums are float32. Values are only
// scaled down: their scale goes into the weights, which would lose what is small. Matrices on the
// units cannot be scaled row by row, so the maximum that weights are taken from (FlashAttention, Dao
// et al. 2022) is raised only where a score exceeds it by SLACK; the sums then go through workgroup
// memory. Tokens of several sequences in one tile are taken one run after another. HALF: f16 pages.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
//#include paged_operands
//#include grid
//#include pages
//#include visible
//#include paged_run
//#include fault
//#include half

const LOWEST: f32 = -3.4028234e38;
// Weights may reach e^4, far below what f16 holds.
const SLACK: f32 = 4.0;
const UNIT: u32 = 16u;
const ROWS: u32 = GROUP / SUBGROUP * UNIT;
const KEY: u32 = HEAD / 4u;
const VALUES: u32 = VALUE / 4u;
// Rows in vectors of four f16, and a gap of two between them: their banks then differ.
const STRIDE: u32 = max(KEY, VALUES) + 2u;
const WEIGHT_STRIDE: u32 = PAGE / 4u + 2u;
const SCORE_STRIDE: u32 = PAGE + 4u;
const PAGE_UNITS: u32 = PAGE / UNIT;
const TEAMS: u32 = GROUP / SUBGROUP;
// Where the last unit of scores begins. Units are taken from places that a driver sees to be no larger than
// the last, so that it need not check each (see product_matrix).
const LAST_SCORES: u32 = (ROWS - UNIT) * SCORE_STRIDE + PAGE - UNIT;

var<workgroup> stage: array<vec2u, max(ROWS, PAGE) * STRIDE>;
var<workgroup> scores: array<f32, ROWS * SCORE_STRIDE>;
var<workgroup> weights: array<vec2u, ROWS * WEIGHT_STRIDE>;
var<workgroup> query_scale: array<f32, ROWS>;
var<workgroup> key_scale: array<f32, PAGE>;
var<workgroup> value_scale: array<f32, PAGE>;
// Drivers lay these arrays out as they like and load units from whole 16 bytes, so each is a multiple of that.
var<workgroup> raised: array<atomic<u32>, 4>;

// Puts one row of numbers, of which each lane of a subgroup has four, into the stage. Returns the power
// of two by which it is divided: one that brings its largest number to 2^10, but at least `least`.
fn put(row: u32, column: u32, columns: u32, four: vec4f, least: f32) -> f32 {
  let sizes = abs(four);
  let largest = subgroupMax(max(max(sizes.x, sizes.y), max(sizes.z, sizes.w)));
  let exponent = clamp((bitcast<u32>(largest) >> 23u) & 0xffu, 30u, 250u);
  let scale = max(least, bitcast<f32>((exponent - 10u) << 23u));
  if (column < columns) { stage[row * STRIDE + column] = bitcast<vec2u>(vec4<f16>(four * (1.0 / scale))); }
  return scale;
}

fn sees(run: Run, position: u32) -> bool { return position >= run.low && position < run.high; }

// Keys and values as the pages hold them. What is f16 already goes into the stage as it is, under a scale of 1.
//#if HALF
alias Four = vec2u;
fn put_stored(row: u32, column: u32, columns: u32, four: Four, least: f32) -> f32 {
  if (column < columns) { stage[row * STRIDE + column] = four; }
  return 1.0;
}
fn key_scale_of(key: u32) -> f32 { return 1.0; }
fn value_scale_of(key: u32) -> f32 { return 1.0; }
//#else
alias Four = vec4f;
fn put_stored(row: u32, column: u32, columns: u32, four: Four, least: f32) -> f32 { return put(row, column, columns, four, least); }
fn key_scale_of(key: u32) -> f32 { return key_scale[key]; }
fn value_scale_of(key: u32) -> f32 { return value_scale[key]; }
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(local_invocation_index) lane: u32) {
  let tiles = (p.tokens + ROWS - 1u) / ROWS;
  let index = group_index(group, groups);
  if (index >= tiles * p.heads) { return; }
  // The last tokens see most: their tiles begin first.
  let first_token = (tiles - 1u - index / p.heads) * ROWS;
  let end_token = min(first_token + ROWS, p.tokens);
  let head = index % p.heads;
  let kv_head = head * p.kv_heads / p.heads;
  let member = lane % SUBGROUP;
  // Two lanes weigh the keys of a row: four of eight each, by turns.
  let row = lane / 2u;
  let side = lane % 2u;
  let token = first_token + row;

  for (var r = 0u; r < UNIT; r++) {
    let at = subgroup * UNIT + r;
    var four = vec4f();
    if (member < KEY && first_token + at < p.tokens) { four = q[((first_token + at) * p.heads + head) * KEY + member]; }
    let scale = put(at, member, KEY, four, 0.0);
    if (member == 0u) { query_scale[at] = scale; }
  }
  workgroupBarrier();
  //#unroll
  for (var d = 0u; d < KEY_UNITS; d++) {
    let queries_{d} = subgroupMatrixLoad<subgroup_matrix_left<f16, UNIT, UNIT>, row_major>(&stage, min(subgroup * UNIT * STRIDE, (ROWS - UNIT) * STRIDE) + d * UNIT / 4u, STRIDE * STRIDE_UNIT);
  }
  let my_scale = query_scale[row] * p.scale;
  //#unroll
  for (var i = 0u; i < VALUE_UNITS; i++) {
    var sums_{i}: subgroup_matrix_result<f32, UNIT, UNIT>;
  }
  var largest = LOWEST;
  var total = 0.0;

  for (var run = first_token; run < end_token;) {
    let seen = run_from(run, end_token);
    let next = seen.end;
    if (seen.slot < 0) { run = next; continue; }
    // What this lane's token sees: [from_position, to_position).
    var from_position = 1u;
    var to_position = 0u;
    if (token >= run && token < next) {
      from_position = first_visible(u32(positions[token]));
      to_position = u32(positions[token]) + 1u;
    }
    for (var logical = seen.low / PAGE; logical * PAGE < seen.high; logical++) {
      let page = page_of(u32(seen.slot), logical);
      if (page < 0) {
        if (!sees_page(seen, logical)) { continue; }
        if (lane == 0u) { raise(p.fault, i32(max(seen.low, logical * PAGE))); }
        return;
      }
      let page_row = (u32(page) * p.kv_heads + kv_head) * PAGE;
      // All that a lane reads of a page is asked for before any of it is used. Rows that none sees may hold
      // anything, and nothing times infinity is no number: zeros.
      //#unroll
      for (var i = 0u; i < PAGE_LOADS; i++) {
        var key_{i} = Four();
        if (member < KEY && sees(seen, logical * PAGE + i * TEAMS + subgroup)) { key_{i} = k[(page_row + i * TEAMS + subgroup) * KEY + member]; }
      }
      workgroupBarrier();
      //#unroll
      for (var i = 0u; i < PAGE_LOADS; i++) {
        let scale_{i} = put_stored(i * TEAMS + subgroup, member, KEY, key_{i}, 0.0);
        if (member == 0u) { key_scale[i * TEAMS + subgroup] = scale_{i}; }
      }
      //#unroll
      for (var i = 0u; i < PAGE_LOADS; i++) {
        var value_{i} = Four();
        if (member < VALUES && sees(seen, logical * PAGE + i * TEAMS + subgroup)) { value_{i} = v[(page_row + i * TEAMS + subgroup) * (p.value_width / 4u) + member]; }
      }
      workgroupBarrier();
      for (var j = 0u; j < PAGE_UNITS; j++) {
        var products = subgroup_matrix_result<f32, UNIT, UNIT>();
        //#unroll
        for (var d = 0u; d < KEY_UNITS; d++) {
          let keys_{d} = subgroupMatrixLoad<subgroup_matrix_right<f16, UNIT, UNIT>, col_major>(&stage, min(j * UNIT * STRIDE, (PAGE - UNIT) * STRIDE) + d * UNIT / 4u, STRIDE * STRIDE_UNIT);
          products = subgroupMatrixMultiplyAccumulate(queries_{d}, keys_{d}, products);
        }
        subgroupMatrixStore<row_major>(&scores, min(subgroup * UNIT * SCORE_STRIDE + j * UNIT, LAST_SCORES), products, SCORE_STRIDE);
      }
      if (lane == 0u) { atomicStore(&raised[0], 0u); }
      workgroupBarrier();
      //#unroll
      for (var i = 0u; i < PAGE_LOADS; i++) {
        let by_{i} = put_stored(i * TEAMS + subgroup, member, VALUES, value_{i}, 1.0);
        if (member == 0u) { value_scale[i * TEAMS + subgroup] = by_{i}; }
      }
      var most = LOWEST;
      for (var i = 0u; i < PAGE / 8u; i++) {
        for (var c = 0u; c < 4u; c++) {
          let key = 8u * i + 4u * side + c;
          let position = logical * PAGE + key;
          if (position >= from_position && position < to_position) { most = max(most, scores[row * SCORE_STRIDE + key] * my_scale * key_scale_of(key)); }
        }
      }
      most = max(most, subgroupShuffleXor(most, 1u));
      var keep = 1.0;
      if (most > largest + SLACK) {
        keep = exp(largest - most);
        largest = most;
        atomicStore(&raised[0], 1u);
      }
      total *= keep;
      let raise_sums = workgroupUniformLoad(&raised[0]);
      for (var i = 0u; i < PAGE / 8u; i++) {
        var four = vec4f();
        for (var c = 0u; c < 4u; c++) {
          let key = 8u * i + 4u * side + c;
          let position = logical * PAGE + key;
          if (position >= from_position && position < to_position) {
            let weight = exp(scores[row * SCORE_STRIDE + key] * my_scale * key_scale_of(key) - largest);
            total += weight;
            four[c] = weight * value_scale_of(key);
          }
        }
        weights[row * WEIGHT_STRIDE + 2u * i + side] = bitcast<vec2u>(vec4<f16>(four));
      }
      workgroupBarrier();
      if (raise_sums != 0u) {
        // A unit at a time, by turns where the scores were.
        //#unroll
        for (var i = 0u; i < VALUE_UNITS; i++) {
          subgroupMatrixStore<row_major>(&scores, min(subgroup * UNIT * SCORE_STRIDE + i % PAGE_UNITS * UNIT, LAST_SCORES), sums_{i}, SCORE_STRIDE);
          workgroupBarrier();
          for (var c = side; c < UNIT; c += 2u) { scores[row * SCORE_STRIDE + i % PAGE_UNITS * UNIT + c] *= keep; }
          workgroupBarrier();
          sums_{i} = subgroupMatrixLoad<subgroup_matrix_result<f32, UNIT, UNIT>, row_major>(&scores, min(subgroup * UNIT * SCORE_STRIDE + i % PAGE_UNITS * UNIT, LAST_SCORES), SCORE_STRIDE);
        }
      }
      for (var j = 0u; j < PAGE_UNITS; j++) {
        let left = subgroupMatrixLoad<subgroup_matrix_left<f16, UNIT, UNIT>, row_major>(&weights, min(subgroup * UNIT * WEIGHT_STRIDE + j * UNIT / 4u, (ROWS - UNIT) * WEIGHT_STRIDE + (PAGE - UNIT) / 4u), WEIGHT_STRIDE * STRIDE_UNIT);
        //#unroll
        for (var i = 0u; i < VALUE_UNITS; i++) {
          let values_{i} = subgroupMatrixLoad<subgroup_matrix_right<f16, UNIT, UNIT>, row_major>(&stage, min(j * UNIT * STRIDE, (PAGE - UNIT) * STRIDE) + i * UNIT / 4u, STRIDE * STRIDE_UNIT);
          sums_{i} = subgroupMatrixMultiplyAccumulate(left, values_{i}, sums_{i});
        }
      }
    }
    run = next;
  }
  total += subgroupShuffleXor(total, 1u);
  workgroupBarrier();
  //#unroll
  for (var i = 0u; i < VALUE_UNITS; i++) {
    subgroupMatrixStore<row_major>(&scores, min(subgroup * UNIT * SCORE_STRIDE + i % PAGE_UNITS * UNIT, LAST_SCORES), sums_{i}, SCORE_STRIDE);
    workgroupBarrier();
    for (var c = side; c < UNIT / 4u; c += 2u) {
      let at = row * SCORE_STRIDE + i % PAGE_UNITS * UNIT + 4u * c;
      // A token of no sequence gets zeros.
      if (token < p.tokens) {
        out[(token * p.heads + head) * VALUES + i * UNIT / 4u + c] = select(vec4f(), vec4f(scores[at], scores[at + 1u], scores[at + 2u], scores[at + 3u]) / total, total > 0.0);
      }
    }
  }
}
