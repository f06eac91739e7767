// What a kernel cannot do, it reports: the host reads these words with every result.
@group(0) @binding(31) var<storage, read_write> faults: array<atomic<u32>>;

fn raise(slot: u32, value: i32) {
  atomicMax(&faults[slot], u32(max(value, 0)) + 1u);
}
