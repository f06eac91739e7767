// What kernels of row attention share. A workgroup has ROWS rows of its own and walks others COLS at a
// time; products of rows are taken in pieces of ACROSS vectors through workgroup memory. A lane has four
// of the own rows (`down` + DOWN i) and four of the others (4 `across` to 4 `across` + 3), and of sums
// over the others vector `across` of each piece. With OWN_KEPT all pieces of the own rows stay there.
const LOWEST: f32 = -3.4028234e38;
const ACROSS: u32 = COLS / 4u;
const DOWN: u32 = ROWS / 4u;
const H4: u32 = (HEAD + 3u) / 4u;
const V4: u32 = (VALUE + 3u) / 4u;
const H_PIECES: u32 = (H4 + ACROSS - 1u) / ACROSS;
const V_PIECES: u32 = (V4 + ACROSS - 1u) / ACROSS;
// Vectors from row to row: one more than a piece has, so that neighbours lie in different banks.
const STRIDE: u32 = ACROSS + 1u;
// Vectors of a piece that a lane fetches.
const OWN_EACH: u32 = ROWS * ACROSS / GROUP;
const OTHERS_EACH: u32 = COLS * ACROSS / GROUP;

var<workgroup> own: array<vec4f, OWN_PIECES * ROWS * STRIDE>;
var<workgroup> others: array<vec4f, COLS * STRIDE>;
var<workgroup> weights: array<vec4f, ROWS * STRIDE>;

// Which tensor rows are of.
const QUERIES: u32 = 0u;
const KEYS: u32 = 1u;
const VALUES: u32 = 2u;
const SLOPES: u32 = 3u;
//#include row_{READS}

// A lane's part of a piece of rows from `first` on, zeros from `end` on: fetched first and put where all
// see it later, so that a lane waits for all its reads at once, and works meanwhile.
fn fetch_own(what: u32, piece: u32, first: u32, end: u32, head: u32, lane: u32) -> array<vec4f, OWN_EACH> {
  var fours = array<vec4f, OWN_EACH>();
  for (var i = 0u; i < OWN_EACH; i++) { fours[i] = fetched(what, first + (lane + i * GROUP) / ACROSS, end, head, piece * ACROSS + lane % ACROSS); }
  return fours;
}

fn fetch_others(what: u32, piece: u32, first: u32, end: u32, head: u32, lane: u32) -> array<vec4f, OTHERS_EACH> {
  var fours = array<vec4f, OTHERS_EACH>();
  for (var i = 0u; i < OTHERS_EACH; i++) { fours[i] = fetched(what, first + (lane + i * GROUP) / ACROSS, end, head, piece * ACROSS + lane % ACROSS); }
  return fours;
}

fn fetched(what: u32, row: u32, end: u32, head: u32, vector: u32) -> vec4f {
  return select(vec4f(), row4(what, min(row, end - 1u), head, vector), row < end);
}

fn put_own(piece: u32, fours: array<vec4f, OWN_EACH>, lane: u32) {
  for (var i = 0u; i < OWN_EACH; i++) { own[(piece * ROWS + (lane + i * GROUP) / ACROSS) * STRIDE + lane % ACROSS] = fours[i]; }
}

// Those others that a lane has lie ACROSS rows apart.
fn put_others(fours: array<vec4f, OTHERS_EACH>, lane: u32) {
  for (var i = 0u; i < OTHERS_EACH; i++) {
    let row = (lane + i * GROUP) / ACROSS;
    others[(row % 4u * ACROSS + row / 4u) * STRIDE + lane % ACROSS] = fours[i];
  }
}

// All pieces of own rows, where they stay: from piece `to` on.
fn keep_own(what: u32, to: u32, pieces: u32, first: u32, end: u32, head: u32, lane: u32) {
  for (var piece = 0u; piece < pieces; piece++) { put_own(to + piece, fetch_own(what, piece, first, end, head, lane), lane); }
}

fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// Adds the products of a piece of a lane's own rows with its others.
fn add_products(sums: ptr<function, array<vec4f, 4>>, piece: u32, lane: u32) {
  let first = select(0u, piece, OWN_KEPT) * ROWS;
  let down = lane / ACROSS;
  let across = lane % ACROSS;
  for (var d = 0u; d < ACROSS; d++) {
    var theirs = array<vec4f, 4>();
    for (var j = 0u; j < 4u; j++) { theirs[j] = others[(j * ACROSS + across) * STRIDE + d]; }
    for (var i = 0u; i < 4u; i++) {
      let mine = own[(first + down + DOWN * i) * STRIDE + d];
      let sum = (*sums)[i];
      (*sums)[i] = vec4f(add_dot(sum.x, mine, theirs[0]), add_dot(sum.y, mine, theirs[1]), add_dot(sum.z, mine, theirs[2]), add_dot(sum.w, mine, theirs[3]));
    }
  }
}

// A weight for each own row and other of the lane.
fn set_weights(four: array<vec4f, 4>, lane: u32) {
  for (var i = 0u; i < 4u; i++) { weights[(lane / ACROSS + DOWN * i) * STRIDE + lane % ACROSS] = four[i]; }
}

// The lane's vector of a piece of the others, summed with the weights of its own rows.
fn weighted_sums(lane: u32) -> array<vec4f, 4> {
  let down = lane / ACROSS;
  let across = lane % ACROSS;
  var sums = array<vec4f, 4>();
  for (var c = 0u; c < ACROSS; c++) {
    var weight = array<vec4f, 4>();
    for (var i = 0u; i < 4u; i++) { weight[i] = weights[(down + DOWN * i) * STRIDE + c]; }
    for (var j = 0u; j < 4u; j++) {
      let theirs = others[(j * ACROSS + c) * STRIDE + across];
      for (var i = 0u; i < 4u; i++) { sums[i] += weight[i][j] * theirs; }
    }
  }
  return sums;
}

// The rows that a lane has: four others from `first` on.
fn four_from(first: u32, lane: u32) -> vec4u { return vec4u(first + 4u * (lane % ACROSS)) + vec4u(0u, 1u, 2u, 3u); }
