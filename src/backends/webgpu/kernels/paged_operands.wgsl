// What paged_attention reads and writes where heads are whole vectors of four. HALF: f16 pages.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
//#if HALF
@group(0) @binding(3) var<storage, read> k: array<vec2u>;
@group(0) @binding(4) var<storage, read> v: array<vec2u>;
//#else
@group(0) @binding(3) var<storage, read> k: array<vec4f>;
@group(0) @binding(4) var<storage, read> v: array<vec4f>;
//#endif
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> slots: array<i32>;
@group(0) @binding(7) var<storage, read> page_table: array<i32>;
