// How cached keys and values are kept: float32, or rounded to f16 (to nearest even) in half the
// memory, or to q8_0 (32 numbers share a scale) in a little over a quarter. Attention sums in float32 all the same.

export type KvFormat = 'f32' | 'f16' | 'q8_0';
export const kvFormats: readonly KvFormat[] = ['f32', 'f16', 'q8_0'];
