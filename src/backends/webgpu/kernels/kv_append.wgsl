// kv_append: writes the rows [T, K, head_width] of this step's tokens into their pages [P, K, 64, head_width]; slot -1 is padding.
// With HALF the pages hold f16, two of them a word: a lane writes both, and counts are of words.
struct Params { count: u32, width: u32, head_width: u32, entries: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//#if HALF
@group(0) @binding(1) var<storage, read_write> store: array<u32>;
//#else
@group(0) @binding(1) var<storage, read_write> store: array<f32>;
//#endif
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read> slots: array<i32>;
@group(0) @binding(5) var<storage, read> page_table: array<i32>;
//#include grid
//#include pages
//#include fault
//#include half

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let token = i / p.width;
  if (slots[token] < 0) { return; }
  let position = u32(positions[token]);
  let page = page_of(u32(slots[token]), position / PAGE);
  if (page < 0) { raise(p.fault, positions[token]); return; }
  let head = i % p.width / p.head_width;
  let to = (u32(page) * p.width + head * p.head_width) * PAGE + position % PAGE * p.head_width + i % p.head_width;
//#if HALF
  store[to] = half_bits(rows[2u * i]) | (half_bits(rows[2u * i + 1u]) << 16u);
//#else
  store[to] = rows[i];
//#endif
}
