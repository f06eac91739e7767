// Eight blocks of an f16 scale and NUMBERS half-words of numbers, one after another, become the numbers of
// all eight and then their scales, in place; or the other way round (UNPACK). NIBBLES: numbers of four bits
// around 8 become signed ones. A lane per eight blocks.
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
//#include grid

const WORDS: u32 = 4u * (NUMBERS + 1u);
const FLIP: u32 = select(0u, 0x8888u, NIBBLES);

// Half-word `i` of the result, out of those that were.
fn half_word(i: u32, old: ptr<function, array<u32, WORDS>>) -> u32 {
  let packed = select(i, 0u, UNPACK);
  let block = select(packed / NUMBERS, i / (NUMBERS + 1u), UNPACK);
  let place = i % (NUMBERS + 1u);
  var source = (NUMBERS + 1u) * block + 1u + packed % NUMBERS;
  var is_scale = i >= 8u * NUMBERS;
  if (UNPACK) {
    is_scale = place == 0u;
    source = select(block * NUMBERS + place - 1u, 8u * NUMBERS + block, is_scale);
  } else if (is_scale) {
    source = (NUMBERS + 1u) * (i - 8u * NUMBERS);
  }
  let half = ((*old)[source / 2u] >> (16u * (source % 2u))) & 0xffffu;
  return half ^ select(FLIP, 0u, is_scale);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = element_index(group, groups, lane);
  if (index >= p.count) { return; }
  var old = array<u32, WORDS>();
  for (var i = 0u; i < WORDS; i++) { old[i] = w[index * WORDS + i]; }
  for (var i = 0u; i < WORDS; i++) { w[index * WORDS + i] = half_word(2u * i, &old) | (half_word(2u * i + 1u, &old) << 16u); }
}
