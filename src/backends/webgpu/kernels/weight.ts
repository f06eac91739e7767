// What kernels are told of a weight matrix: the WGSL struct Weight and the parameters that pick its reader.

import { isBlockType, scaleGrid, scaleOffset } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import { isPacked } from '../packing.js';
import type { Parameters } from '../template.js';

export const isWeight = ({ dtype }: Spec): boolean => dtype !== 'i32';

/** Constants of a matrix: the WGSL struct Weight. */
export function weightConstants(spec: Spec): number[] {
  const grid = scaleGrid(spec);
  const [blockRows, blockColumns] = spec.scaleBlock ?? [1, 1];
  return [spec.shape.at(-1) ?? 1, spec.shape.at(-2) ?? 1, grid ? scaleOffset(spec) / 4 : 0, blockRows, blockColumns, grid?.rows ?? 0, grid?.columns ?? 0, 0];
}

export function weightParameters(spec: Spec) {
  const columns = spec.shape.at(-1) ?? 1;
  const BLOCKS = isBlockType(spec.dtype);
  return {
    WEIGHT: spec.dtype, ALIGNED: columns % 4 === 0, EIGHTS: columns % 8 === 0 && (BLOCKS || EIGHTS.has(spec.dtype)), BLOCKS, FOUR_OF_EIGHT: BLOCKS && spec.dtype !== 'q8_0',
    SCALED: spec.scaleBlock !== undefined, PACKED: isPacked(spec),
  } satisfies Parameters;
}

/** Formats of single numbers that the shaders read eight of at a time; blocks they do. */
const EIGHTS: ReadonlySet<string> = new Set(['f16', 'bf16']);
