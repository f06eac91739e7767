// The tokens begin to end of one sequence that follow each other, and the positions low to high that
// they see together.
struct Run { begin: u32, end: u32, slot: i32, low: u32, high: u32 }

fn run_from(begin: u32, limit: u32) -> Run {
  var run = Run(begin, begin, slots[begin], 0xffffffffu, 0u);
  while (run.end < limit && slots[run.end] == run.slot) {
    run.low = min(run.low, first_visible(u32(positions[run.end])));
    run.high = max(run.high, u32(positions[run.end]) + 1u);
    run.end++;
  }
  return run;
}

// Whether any of its tokens sees a page: tokens far apart may leave pages between them that none sees.
fn sees_page(run: Run, logical: u32) -> bool {
  for (var token = run.begin; token < run.end; token++) {
    let position = u32(positions[token]);
    if (position >= logical * PAGE && first_visible(position) < (logical + 1u) * PAGE) { return true; }
  }
  return false;
}
