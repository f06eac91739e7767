// Which of CHUNK indices from `first` on are `wanted`, in order: their places in `matches`. Every lane
// looks at CHUNK / GROUP of them; all lanes must call, and get how many there are.
const EACH: u32 = CHUNK / GROUP;
var<workgroup> matches: array<u32, CHUNK>;
var<workgroup> counts: array<u32, GROUP>;
var<workgroup> matched: u32;

fn find_matches(first: u32, end: u32, wanted: i32, lane: u32) -> u32 {
  var count = 0u;
  for (var i = 0u; i < EACH; i++) {
    let at = first + lane * EACH + i;
    if (at < end && indices[at] == wanted) { count++; }
  }
  workgroupBarrier();
  counts[lane] = count;
  workgroupBarrier();
  var to = 0u;
  var total = 0u;
  for (var i = 0u; i < GROUP; i++) {
    if (i == lane) { to = total; }
    total += counts[i];
  }
  for (var i = 0u; i < EACH; i++) {
    let at = first + lane * EACH + i;
    if (at < end && indices[at] == wanted) { matches[to] = at; to++; }
  }
  if (lane == 0u) { matched = total; }
  return workgroupUniformLoad(&matched);
}
