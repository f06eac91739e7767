// What kernels of row attention share. A workgroup has ROWS rows of its own and walks others COLS at a
// time; products of rows are taken in pieces of ACROSS vectors through workgroup memory. A lane has four
// of the own rows (`down` + DOWN i) and four of the others (4 `across` to 4 `across` + 3), and of sums
// over the others vector `across` of each piece. With WHOLE rows have one piece, and there is room for
// two SIDES: rows of two tensors at once.
const LOWEST: f32 = -3.4028234e38;
const ACROSS: u32 = COLS / 4u;
const DOWN: u32 = ROWS / 4u;
const H4: u32 = (HEAD + 3u) / 4u;
const V4: u32 = (VALUE + 3u) / 4u;
const H_PIECES: u32 = (H4 + ACROSS - 1u) / ACROSS;
const V_PIECES: u32 = (V4 + ACROSS - 1u) / ACROSS;
// Vectors from row to row: one more than a piece has, so that neighbours lie in different banks.
const STRIDE: u32 = ACROSS + 1u;
const SECOND: u32 = SIDES - 1u;

var<workgroup> own: array<vec4f, SIDES * ROWS * STRIDE>;
var<workgroup> others: array<vec4f, SIDES * COLS * STRIDE>;
var<workgroup> weights: array<vec4f, ROWS * STRIDE>;

// Which tensor rows are of.
const QUERIES: u32 = 0u;
const KEYS: u32 = 1u;
const VALUES: u32 = 2u;
const SLOPES: u32 = 3u;
//#include row_{READS}

// Rows from `first` on, zeros from `end` on.
fn load_own(what: u32, side: u32, piece: u32, first: u32, end: u32, head: u32, lane: u32) {
  for (var i = lane; i < ROWS * ACROSS; i += GROUP) {
    var four = vec4f();
    if (first + i / ACROSS < end) { four = row4(what, first + i / ACROSS, head, piece * ACROSS + i % ACROSS); }
    own[(side * ROWS + i / ACROSS) * STRIDE + i % ACROSS] = four;
  }
}

// Where one of the others lies: those that a lane has are ACROSS rows apart.
fn place_of(side: u32, row: u32) -> u32 { return (side * COLS + row % 4u * ACROSS + row / 4u) * STRIDE; }

fn load_others(what: u32, side: u32, piece: u32, first: u32, end: u32, head: u32, lane: u32) {
  for (var i = lane; i < COLS * ACROSS; i += GROUP) {
    var four = vec4f();
    if (first + i / ACROSS < end) { four = row4(what, first + i / ACROSS, head, piece * ACROSS + i % ACROSS); }
    others[place_of(side, i / ACROSS) + i % ACROSS] = four;
  }
}

fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

// Adds the products of one piece of a lane's own rows with its others.
fn add_products(sums: ptr<function, array<vec4f, 4>>, side: u32, lane: u32) {
  let down = lane / ACROSS;
  let across = lane % ACROSS;
  for (var d = 0u; d < ACROSS; d++) {
    var theirs = array<vec4f, 4>();
    for (var j = 0u; j < 4u; j++) { theirs[j] = others[(side * COLS + j * ACROSS + across) * STRIDE + d]; }
    for (var i = 0u; i < 4u; i++) {
      let mine = own[(side * ROWS + down + DOWN * i) * STRIDE + d];
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
fn weighted_sums(side: u32, lane: u32) -> array<vec4f, 4> {
  let down = lane / ACROSS;
  let across = lane % ACROSS;
  var sums = array<vec4f, 4>();
  for (var c = 0u; c < ACROSS; c++) {
    var weight = array<vec4f, 4>();
    for (var i = 0u; i < 4u; i++) { weight[i] = weights[(down + DOWN * i) * STRIDE + c]; }
    for (var j = 0u; j < 4u; j++) {
      let theirs = others[(side * COLS + j * ACROSS + c) * STRIDE + across];
      for (var i = 0u; i < 4u; i++) { sums[i] += weight[i][j] * theirs; }
    }
  }
  return sums;
}

// The rows that a lane has: four others from `first` on.
fn four_from(first: u32, lane: u32) -> vec4u { return vec4u(first + 4u * (lane % ACROSS)) + vec4u(0u, 1u, 2u, 3u); }
