// Writes some bytes of one word: for host writes that do not begin or end on a word.
struct Params { word: u32, mask: u32, value: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(1)
fn main() {
  words[p.word] = (words[p.word] & ~p.mask) | (p.value & p.mask);
}
