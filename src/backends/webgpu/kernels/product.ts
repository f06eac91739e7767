// Products of matrices for many rows: how a product is cut into tiles, and the dispatches it takes.

import type { Operand } from '../../../tensor/index.js';
import { LANES, scratch } from '../kernel.js';
import type { Dispatch } from '../kernel.js';
import { weightConstants, weightParameters } from './weight.js';

/** C = A B (+ bias): the extents, where the numbers lie, and how they are stored. */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** f32: [m, k], or [k, m] where `tallA`. */
  readonly a: Operand;
  readonly tallA?: boolean;
  /** In any storage format that kernels read (see `isWeight`): [n, k], or [k, n] where `tallB`. */
  readonly b: Operand;
  readonly tallB?: boolean;
  /** f32 [n]. */
  readonly bias?: Operand;
  /** f32 [m, n]. */
  readonly out: Operand;
}

/** A workgroup's part of C, and a lane's part of that. */
interface Tiling { readonly TILE_M: number; readonly TILE_N: number; readonly LANE_M: number; readonly LANE_N: number }

/** The larger a tile, the more often each number is used that it reads; large first. */
const TILINGS: readonly Tiling[] = [
  { TILE_M: 128, TILE_N: 128, LANE_M: 8, LANE_N: 8 },
  { TILE_M: 64, TILE_N: 64, LANE_M: 8, LANE_N: 8 },
  { TILE_M: 32, TILE_N: 64, LANE_M: 4, LANE_N: 8 },
  { TILE_M: 16, TILE_N: 64, LANE_M: 4, LANE_N: 4 },
];
/** Steps of k that a workgroup takes at a time: DEPTH in product.wgsl. */
const DEPTH = 16;
/** As many lanes keep a large GPU busy. */
const BUSY_LANES = 2 ** 16;
/** Fewer steps of k than this are not worth a workgroup of their own. */
const LEAST_STEPS = 128;
/** Numbers that the parts of one product may take together, where k is divided. */
const MOST_PARTIAL = 2 ** 24;

const lanesOf = ({ TILE_M, TILE_N, LANE_M, LANE_N }: Tiling): number => (TILE_M / LANE_M) * (TILE_N / LANE_N);
const tilesOf = ({ TILE_M, TILE_N }: Tiling, m: number, n: number): number => Math.ceil(m / TILE_M) * Math.ceil(n / TILE_N);

/** The largest tile that is not mostly empty and leaves enough of them for all of the GPU. */
function tilingFor(m: number, n: number): Tiling {
  const fits = (t: Tiling) => m > t.TILE_M / 2 && (t.TILE_N === 64 || n > t.TILE_N / 2);
  return TILINGS.find((t) => fits(t) && (t.TILE_M <= 64 || 2 * tilesOf(t, m, n) * lanesOf(t) >= BUSY_LANES)) ?? TILINGS[TILINGS.length - 1];
}

/** Where there are few tiles, k is divided among this many workgroups. */
function partsFor(tiling: Tiling, { m, n, k }: Product): number {
  const wanted = Math.ceil(BUSY_LANES / (tilesOf(tiling, m, n) * lanesOf(tiling)));
  return Math.max(1, Math.min(wanted, Math.floor(k / LEAST_STEPS), Math.floor(MOST_PARTIAL / (m * n))));
}

/** The dispatches of a product, in order. */
export function product(what: Product): Dispatch[] {
  const { m, n, k, a, b, bias, out, tallA = false, tallB = false } = what;
  const tiling = tilingFor(m, n);
  const steps = Math.ceil(Math.ceil(k / partsFor(tiling, what)) / DEPTH) * DEPTH;
  const parts = Math.max(1, Math.ceil(k / steps));
  const split = parts > 1;
  const partial = split ? scratch(0, { shape: [parts, m, n], dtype: 'f32' }) : out;
  const tiled: Dispatch = {
    source: 'product',
    parameters: {
      ...weightParameters(b.spec), ...tiling, A_TALL: tallA, B_TALL: tallB, A_ALIGNED: (tallA ? m : k) % 4 === 0, C_ALIGNED: n % 4 === 0,
      BIAS: bias !== undefined && !split,
    },
    writes: [partial], reads: bias && !split ? [a, b, bias] : [a, b],
    constants: [...weightConstants(b.spec), m, n, k, steps], groups: parts * tilesOf(tiling, m, n), group: lanesOf(tiling),
  };
  return split ? [tiled, sumParts(partial, parts, out, n, bias)] : [tiled];
}

function sumParts(partial: Operand, parts: number, out: Operand, columns: number, bias: Operand | undefined): Dispatch {
  const count = partial.spec.shape.reduce((product, extent) => product * extent, 1) / parts;
  return {
    source: 'sum_parts', parameters: { BIAS: bias !== undefined }, writes: [out], reads: bias ? [partial, bias] : [partial],
    constants: [count, parts, columns], groups: Math.ceil(count / LANES), group: LANES,
  };
}
