// Where vector i of step k of a tile lies (`vectors`, a power of two, in each step). Turned a little
// every four steps: lanes that store different steps of the same numbers would otherwise wait for
// the same memory banks.
fn place(k: u32, i: u32, vectors: u32) -> u32 {
  return k * vectors + (i ^ ((k / 4u * 2u) & (vectors - 1u)));
}
