// Products of matrices for many rows: how a product is cut into tiles, and the dispatches it takes.

import type { Operand } from '../../../tensor/index.js';
import { count, LANES, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, MatrixUnit } from '../kernel.js';
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
  readonly b: Bound;
  readonly tallB?: boolean;
  /** f32 [n]. */
  readonly bias?: Bound;
  /** f32 [m, n]. */
  readonly out: Operand;
}

/** A workgroup's tile of C, one lane's or subgroup's part of it, and steps of k taken at a time. */
export interface Tiling {
  readonly tile: readonly [m: number, n: number];
  readonly part: readonly [m: number, n: number];
  readonly lanesPerPart: number;
  readonly depth: number;
}

/** Tilings in lanes: the larger a tile, the more often each number is used that it reads. Large first. */
export const LANE_TILINGS: readonly Tiling[] = [
  { tile: [128, 128], part: [8, 8], lanesPerPart: 1, depth: 16 },
  { tile: [64, 64], part: [8, 8], lanesPerPart: 1, depth: 16 },
  { tile: [32, 64], part: [4, 8], lanesPerPart: 1, depth: 16 },
  { tile: [16, 64], part: [4, 4], lanesPerPart: 1, depth: 16 },
];
/** Tilings in subgroups. */
export const matrixTilings = ({ subgroup }: MatrixUnit): readonly Tiling[] => [
  { tile: [128, 128], part: [64, 32], lanesPerPart: subgroup, depth: 32 },
  { tile: [64, 64], part: [32, 32], lanesPerPart: subgroup, depth: 32 },
];

/** As many lanes keep a large GPU busy. */
const BUSY_LANES = 2 ** 16;
/** Fewer steps of k than this are not worth a workgroup of their own. */
const LEAST_STEPS = 128;
/** Numbers that the parts of one product may take together, where k is divided. */
const MOST_PARTIAL = 2 ** 24;
/** Rows of f16 are padded to whole steps of any tiling. */
const MATRIX_DEPTHS = 64;

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
const lanesOf = ({ tile, part, lanesPerPart }: Tiling): number => (tile[0] / part[0]) * (tile[1] / part[1]) * lanesPerPart;
const tilesOf = ({ tile }: Tiling, m: number, n: number): number => Math.ceil(m / tile[0]) * Math.ceil(n / tile[1]);

/** The largest tile that is not mostly empty and leaves enough of them for all of the GPU. */
function tilingFor(tilings: readonly Tiling[], m: number, n: number, busy = BUSY_LANES): Tiling {
  const last = tilings[tilings.length - 1];
  const fits = ({ tile }: Tiling) => m > tile[0] / 2 && n > tile[1] / 2;
  return tilings.find((t) => fits(t) && (t.tile[0] <= 64 || 2 * tilesOf(t, m, n) * lanesOf(t) >= busy)) ?? last;
}

/** Workgroup memory of product_matrix: both tiles with a gap after each row, and a unit of results for each subgroup. */
function matrixBytes({ tile, part, depth }: Tiling, { m, n }: MatrixUnit): number {
  return 2 * (tile[0] + tile[1]) * (depth + 8) + 4 * m * n * (tile[0] / part[0]) * (tile[1] / part[1]);
}

/** Steps of k for each workgroup: where there are few tiles, k is divided among several. */
function stepsFor(tiling: Tiling, { m, n, k }: Product): number {
  const wanted = Math.ceil(BUSY_LANES / (tilesOf(tiling, m, n) * lanesOf(tiling)));
  const parts = Math.max(1, Math.min(wanted, Math.floor(k / LEAST_STEPS), Math.floor(MOST_PARTIAL / (m * n))));
  return roundUp(Math.ceil(k / parts), tiling.depth);
}

/** Rows that each meet a matrix of their own among those that B stacks. */
export interface Experts {
  /** Which matrix each row of C takes: i32, m numbers. */
  readonly indices: Operand;
  readonly count: number;
  /** Rows of C that have a row of A in common. */
  readonly share: number;
}

const orderOf = (choices: number): Operand => scratch(3, { shape: [choices], dtype: 'i32' });
const expertTilesOf = (tiles: number): Operand => scratch(4, { shape: [tiles, 3], dtype: 'i32' });
/** Every expert may end in a tile that is not full. */
const mostTiles = (tile: number, choices: number, experts: number): number => Math.ceil(choices / tile) + Math.min(choices, experts);

export interface ProductOptions {
  readonly tiling?: Tiling;
  readonly experts?: Experts;
  /** The product before it in the same call had the same A. */
  readonly repeated?: boolean;
}

/**
 * The dispatches of a product, in order. Matrix units take it where the device has some and B is of
 * no more precision than f16: everything else is computed in float32.
 */
export function product(what: Product, { matrix, workgroupBytes }: Capabilities, { tiling: chosen, experts, repeated = false }: ProductOptions = {}): Dispatch[] {
  const { k, a, b, tallA, tallB } = what;
  const unit = b.spec.dtype !== 'f32' && !tallA && !tallB ? matrix : undefined;
  const tilings = unit ? matrixTilings(unit).filter((t) => matrixBytes(t, unit) <= workgroupBytes) : LANE_TILINGS;
  const rows = experts ? Math.ceil(what.m / experts.count) : what.m;
  const tiling = chosen ?? tilingFor(tilings, rows, what.n, experts ? Infinity : undefined);
  const grouping = experts ? [groupExperts(what.m, experts, tiling)] : [];
  if (!unit) return [...grouping, ...tiled(what, tiling, experts, (shared) => laneProduct(what, tiling, shared))];
  const [rowsOfA, width] = [count(a) / k, roundUp(k, MATRIX_DEPTHS)];
  const halves = scratch(1, { shape: [rowsOfA, width], dtype: 'f16' });
  const scales = scratch(2, { shape: [rowsOfA], dtype: 'f32' });
  const halve: Dispatch = { source: 'halve_rows', parameters: { ALIGNED: k % 4 === 0 }, writes: [halves, scales], reads: [a], constants: [rowsOfA, k, width], groups: rowsOfA, group: 256 };
  return [
    ...grouping,
    ...(repeated ? [] : [halve]),
    ...tiled(what, tiling, experts, (shared) => matrixProduct(what, tiling, unit, halves, scales, shared)),
  ];
}

function groupExperts(choices: number, { indices, count: experts }: Experts, { tile }: Tiling): Dispatch {
  const tiles = mostTiles(tile[0], choices, experts);
  return {
    source: 'group_experts', parameters: { EXPERTS: experts, TILE_M: tile[0] }, writes: [orderOf(choices), expertTilesOf(tiles)], reads: [indices],
    constants: [choices, tiles], groups: 1, group: 256,
  };
}

/** What both kernels share: where they write, what else they read, steps of k and the size of the grid. */
interface Shared { readonly out: Operand; readonly bias: readonly Bound[]; readonly steps: number; readonly experts: readonly Operand[]; readonly share: number; readonly groups: number }

function laneProduct({ m, n, k, a, b, tallA = false, tallB = false }: Product, tiling: Tiling, { out, bias, steps, experts, share, groups }: Shared): Dispatch {
  const { tile, part, depth } = tiling;
  return {
    source: 'product',
    parameters: {
      ...weightParameters(b.spec), TILE_M: tile[0], TILE_N: tile[1], LANE_M: part[0], LANE_N: part[1], DEPTH: depth,
      A_TALL: tallA, B_TALL: tallB, A_ALIGNED: (tallA ? m : k) % 4 === 0, C_ALIGNED: n % 4 === 0, BIAS: bias.length > 0, EXPERTS: experts.length > 0,
    },
    writes: [out], reads: [a, b, ...bias, ...experts], constants: [...weightConstants(b.spec), m, n, k, steps, share], groups, group: lanesOf(tiling),
  };
}

/** On matrix units: the rows of A became f16 with a scale each, which is multiplied in again. */
function matrixProduct({ m, n, k, b }: Product, tiling: Tiling, unit: MatrixUnit, halves: Operand, scales: Operand, { out, bias, steps, experts, share, groups }: Shared): Dispatch {
  const { tile, part, depth } = tiling;
  const weight = weightParameters(b.spec);
  return {
    source: 'product_matrix',
    parameters: {
      ...weight, HALVES: b.spec.dtype === 'f16' && weight.EIGHTS, C_ALIGNED: n % 4 === 0, BIAS: bias.length > 0, EXPERTS: experts.length > 0,
      TILE_M: tile[0], TILE_N: tile[1], SIDE_M: part[0], SIDE_N: part[1], DEPTH: depth,
      UNIT_M: unit.m, UNIT_N: unit.n, UNIT_K: unit.k, SUBGROUP: unit.subgroup, VECTORS: unit.vectors, STRIDE_UNIT: unit.strideInNumbers ? 8 : 1,
    },
    writes: [out], reads: [halves, b, scales, ...bias, ...experts],
    constants: [...weightConstants(b.spec), m, n, k, steps, halves.spec.shape[1], share], groups, group: lanesOf(tiling),
  };
}

/** One dispatch where each workgroup takes all of k; else one that writes partial sums, and their sum. */
function tiled(what: Product, tiling: Tiling, experts: Experts | undefined, dispatch: (shared: Shared) => Dispatch): Dispatch[] {
  const { m, n, k, out } = what;
  const bias = what.bias ? [what.bias] : [];
  if (experts) {
    const tiles = mostTiles(tiling.tile[0], m, experts.count);
    return [dispatch({ out, bias, steps: roundUp(k, tiling.depth), experts: [orderOf(m), expertTilesOf(tiles)], share: experts.share, groups: tiles * Math.ceil(n / tiling.tile[1]) })];
  }
  const steps = stepsFor(tiling, what);
  const parts = Math.ceil(k / steps);
  const shared = { steps, experts: [], share: 1, groups: parts * tilesOf(tiling, m, n) };
  if (parts <= 1) return [dispatch({ ...shared, out, bias })];
  const partial = scratch(0, { shape: [parts, m, n], dtype: 'f32' });
  return [dispatch({ ...shared, out: partial, bias: [] }), {
    source: 'sum_parts', parameters: { BIAS: bias.length > 0 }, writes: [out], reads: [partial, ...bias],
    constants: [m * n, parts, n], groups: Math.ceil((m * n) / LANES), group: LANES,
  }];
}
