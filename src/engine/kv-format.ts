// How cached keys and values are kept: float32, or rounded to f16 (to nearest even) in half the
// memory. Attention sums in float32 either way.

export type KvFormat = 'f32' | 'f16';
export const kvFormats: readonly KvFormat[] = ['f32', 'f16'];
