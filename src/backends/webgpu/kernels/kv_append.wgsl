// kv_append: writes the rows [T, K, head_width] of this step's tokens into their pages [P, K, 64, head_width]; slot -1 is padding.
// With HALF the pages hold f16, two of them a word: a lane writes both, and counts are of words. With PAIR
// the rows of a second store of the same shape follow: keys, then values.
struct Params { count: u32, width: u32, head_width: u32, entries: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//#if PAIR
@group(0) @binding(1) var<storage, read_write> store: array<Stored>;
@group(0) @binding(2) var<storage, read_write> more_store: array<Stored>;
@group(0) @binding(3) var<storage, read> rows: array<f32>;
@group(0) @binding(4) var<storage, read> more_rows: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> slots: array<i32>;
@group(0) @binding(7) var<storage, read> page_table: array<i32>;
const STORES: u32 = 2u;
//#else
@group(0) @binding(1) var<storage, read_write> store: array<Stored>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read> slots: array<i32>;
@group(0) @binding(5) var<storage, read> page_table: array<i32>;
const STORES: u32 = 1u;
//#endif
//#if HALF
alias Stored = u32;
fn packed(first: f32, second: f32) -> Stored { return half_bits(first) | (half_bits(second) << 16u); }
//#else
alias Stored = f32;
//#endif
//#include grid
//#include pages
//#include fault
//#include half

//#if HALF
fn stored(i: u32) -> Stored { return packed(rows[2u * i], rows[2u * i + 1u]); }
//#else
fn stored(i: u32) -> Stored { return rows[i]; }
//#endif
//#if PAIR_OF_HALVES
fn more_stored(i: u32) -> Stored { return packed(more_rows[2u * i], more_rows[2u * i + 1u]); }
//#endif
//#if PAIR_OF_FLOATS
fn more_stored(i: u32) -> Stored { return more_rows[i]; }
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = element_index(group, groups, lane);
  if (index >= STORES * p.count) { return; }
  let i = index % p.count;
  let token = i / p.width;
  if (slots[token] < 0) { return; }
  let position = u32(positions[token]);
  let page = page_of(u32(slots[token]), position / PAGE);
  if (page < 0) { raise(p.fault, positions[token]); return; }
  let head = i % p.width / p.head_width;
  let to = (u32(page) * p.width + head * p.head_width) * PAGE + position % PAGE * p.head_width + i % p.head_width;
//#if PAIR
  if (index >= p.count) { more_store[to] = more_stored(i); return; }
//#endif
  store[to] = stored(i);
}
