// A product in a chain, with what comes before and behind it: y = x W^T of one row of x, of its RMS norm with
// NORM, with more added to it (ADD). GATED: silu of that times the product with a second matrix. THREE: of
// three matrices with results of their own, to which workgroups are dealt. CHOSEN: through the matrices of the
// chosen experts, one behind another; COMBINE: the weighted sum of as many rows of x through theirs.
//#if X_OUTSIDE
@group(0) @binding(X_BINDING) var<storage, read> x: array<vec4f>;
//#endif
//#if NORM
@group(0) @binding(NORM_BINDING) var<storage, read> norm_weight: array<vec4f>;
//#endif
//#if ADD_OUTSIDE
@group(0) @binding(ADD_BINDING) var<storage, read> more: array<f32>;
//#endif
//#if CHOICE_OUTSIDE
@group(0) @binding(INDICES_BINDING) var<storage, read> indices: array<i32>;
fn expert(choice: u32) -> u32 { return u32(indices[choice]); }
//#else
fn expert(choice: u32) -> u32 { return chosen[choice]; }
//#endif
//#if WEIGHTS_OUTSIDE
@group(0) @binding(WEIGHTS_BINDING) var<storage, read> weights: array<f32>;
fn weight_of(choice: u32) -> f32 { return weights[choice]; }
//#else
fn weight_of(choice: u32) -> f32 { return chosen_weights[choice]; }
//#endif
//#include chain_x_{X}

// What is added to a row: asked for before the products are computed, and waited for behind them.
//#if ADD_INSIDE
alias Added = vec4u;
fn ask_added(row: u32) -> Added { return look4(ADD_AT, min(row, ROWS - 1u) / 4u); }
fn added_to(row: u32, asked: Added) -> f32 { return wait4(ADD_AT, row / 4u, asked)[row % 4u]; }
//#endif
//#if ADD_OUTSIDE
alias Added = f32;
fn ask_added(row: u32) -> Added { return more[min(row, ROWS - 1u)]; }
fn added_to(row: u32, asked: Added) -> f32 { return asked; }
//#endif
//#if ADD_NOTHING
alias Added = f32;
fn ask_added(row: u32) -> Added { return 0.0; }
fn added_to(row: u32, asked: Added) -> f32 { return 0.0; }
//#endif

// Teams of LANES lanes share a row, each lane PIECES pieces of it.
const TEAMS: u32 = GROUP / LANES;
const PARTS_OF_ROW: u32 = LANES / SUBGROUP;
const QUADS_OF_X: u32 = X_COLUMNS / 4u;

// Waits for x and stages it; what the norm scales the result by.
fn take(lane: u32) -> f32 {
//#if X_OUTSIDE
//#else
  // Lanes that look would wait for those of their own workgroup that have not sent yet.
  workgroupBarrier();
//#endif
//#unroll
  for (var j = 0u; j < QUADS; j++) {
    let quad_{j} = min(lane + j * GROUP, QUADS_OF_X - 1u);
//#if NORM
    let norm_{j} = norm_weight[quad_{j}] + p.norms[STAGE].y;
//#endif
//#if X_OUTSIDE
    let seen_{j} = x[quad_{j}];
//#else
    let seen_{j} = look4(X_AT, quad_{j});
//#endif
  }
  var total = 0.0;
//#unroll
  for (var j = 0u; j < QUADS; j++) {
//#if X_OUTSIDE
    var four_{j} = seen_{j};
//#else
    var four_{j} = wait4(X_AT, quad_{j}, seen_{j});
//#endif
//#if NORM
    if (lane + j * GROUP < QUADS_OF_X) { total += dot(four_{j}, four_{j}); }
    four_{j} *= norm_{j};
//#endif
//#if COMBINE
    four_{j} *= weight_of(4u * quad_{j} / COLUMNS);
//#endif
    stage_x(lane + j * GROUP, four_{j}, lane);
  }
//#if NORM
  total = subgroup_sum(total);
  if (lane % SUBGROUP == 0u) { squares[lane / SUBGROUP] = total; }
//#endif
  workgroupBarrier();
//#if NORM
  total = 0.0;
  for (var i = 0u; i < GROUP / SUBGROUP; i++) { total += squares[i]; }
  return 1.0 / sqrt(total / f32(X_COLUMNS) + p.norms[STAGE].x);
//#else
  return 1.0;
//#endif
}

//#if GATED
//#include chain_gated
//#else
//#copies chain_rows
//#endif

fn sum_of(row: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < PARTS_OF_ROW; i++) { sum += parts[row * PARTS_OF_ROW + i]; }
  return sum;
}

fn stage(group: u32, lane: u32) {
//#if THREE
  // Workgroups below SECOND take the first matrix, those from THIRD on the last.
  var which = 0u;
  var first = group * ROWS / SECOND;
  var end = (group + 1u) * ROWS / SECOND;
  var inverse = 1.0;
  if (group < SECOND) {
    inverse = run_0(first, end, lane);
  } else if (group < THIRD) {
    which = 1u;
    first = (group - SECOND) * ROWS_B / (THIRD - SECOND);
    end = (group + 1u - SECOND) * ROWS_B / (THIRD - SECOND);
    inverse = run_1(first, end, lane);
  } else {
    which = 2u;
    first = (group - THIRD) * ROWS_C / (GROUPS - THIRD);
    end = (group + 1u - THIRD) * ROWS_C / (GROUPS - THIRD);
    inverse = run_2(first, end, lane);
  }
//#else
  let first = group * ROWS / GROUPS;
  let end = (group + 1u) * ROWS / GROUPS;
  var asked = ask_added(first + lane);
  let inverse = run_0(first, end, lane);
//#endif
  workgroupBarrier();
  for (var row = first + lane; row < end; row += GROUP) {
//#if GATED
    var sum = silu(sum_of(2u * (row - first)) * inverse) * sum_of(2u * (row - first) + 1u) * inverse;
//#else
    var sum = sum_of(row - first) * inverse;
//#endif
//#if ADD
    if (row >= first + GROUP) { asked = ask_added(row); }
    sum += added_to(row, asked);
//#endif
//#if SENT
    send(Y_AT, row, sum);
//#endif
//#if THREE
    results[array(Y_KEPT, Y_KEPT_B, Y_KEPT_C)[which] + row] = sum;
//#endif
//#if KEPT_ALONE
    results[Y_KEPT + row] = sum;
//#endif
  }
}
