// linear_group for few tokens: three products with the same x in one dispatch; with NORM, with its RMS
// norm. Workgroups are dealt to the matrices one after another.
struct Params { weight: Weight_0, tokens: u32, eps: f32, offset: f32, unused: u32, rows: vec3u }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(OTHERS_AT) var<storage, read_write> y_1: array<f32>;
@group(0) @binding(OTHERS_AT + 1u) var<storage, read_write> y_2: array<f32>;
//#include grid
//#include x_{X}
//#copies products_{PRODUCTS}
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_groups = (p.rows + vec3u(TEAMS * EACH - 1u)) / (TEAMS * EACH);
  var index = group_index(group, groups);
  var matrix = 0u;
  while (matrix < 2u && index >= row_groups[matrix]) {
    index -= row_groups[matrix];
    matrix++;
  }
  let rows = p.rows[matrix];
  let first_row = (index * TEAMS + lane / LANES) * EACH;
  prepare(p.tokens, lane);
  var mine = array<f32, EACH * TOKENS>();
  switch matrix {
    case 0u: { mine = multiply_0(first_row, rows, 0u, lane); }
    case 1u: { mine = multiply_1(first_row, rows, 0u, lane); }
    default: { mine = multiply_2(first_row, rows, 0u, lane); }
  }
  let sums = team_sums(mine, lane);
  if (lane % LANES != 0u) { return; }
  for (var r = 0u; r < EACH; r++) {
    let row = first_row + r;
    if (row >= rows) { return; }
    for (var t = 0u; t < min(TOKENS, p.tokens); t++) {
      let sum = sums[r * TOKENS + t] * inverse_of(t);
      switch matrix {
        case 0u: { y[t * rows + row] = sum; }
        case 1u: { y_1[t * rows + row] = sum; }
        default: { y_2[t * rows + row] = sum; }
      }
    }
  }
}
