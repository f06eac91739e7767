// Products of matrices for many rows: how a product is cut into tiles, and the dispatches it takes.

import type { Operand } from '../../../tensor/index.js';
import { count, LANES, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, MatrixUnit } from '../kernel.js';
import { inFours } from './elementwise.js';
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
  { tile: [128, 256], part: [64, 64], lanesPerPart: subgroup, depth: 32 },
  { tile: [128, 128], part: [64, 64], lanesPerPart: subgroup, depth: 32 },
  { tile: [64, 64], part: [32, 32], lanesPerPart: subgroup, depth: 32 },
  // Few rows wait for B: more of it is asked for at a time.
  { tile: [32, 64], part: [32, 16], lanesPerPart: subgroup, depth: 64 },
];

/** As many lanes keep a large GPU busy; on matrix units, where each holds more, fewer do. */
const BUSY_LANES = 2 ** 16;
const BUSY_MATRIX_LANES = 2 ** 15;
/** From so many rows on, B is made f16 once; below, by each workgroup that reads it. */
const MANY_ROWS = 256;
/** Fewer steps of k than this are not worth a workgroup of their own. */
const LEAST_STEPS = 128;
/** Numbers that the parts of one product may take together, where k is divided. */
const MOST_PARTIAL = 2 ** 24;
/** Extents of f16 matrices are padded to whole steps of any tiling. */
const MATRIX_DEPTHS = 64;
/** The first of the scratch memory in which products of a call wait for their sums. */
const PARTIAL = 11;
/** Workgroups that look for the largest number of a matrix. */
const SIZES = 256;

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
const lanesOf = ({ tile, part, lanesPerPart }: Tiling): number => (tile[0] / part[0]) * (tile[1] / part[1]) * lanesPerPart;
const tilesOf = ({ tile }: Tiling, m: number, n: number): number => Math.ceil(m / tile[0]) * Math.ceil(n / tile[1]);

/** The largest tile that is not mostly empty and leaves enough of them for all of the GPU. */
function tilingFor(tilings: readonly Tiling[], m: number, n: number, busy = BUSY_LANES): Tiling {
  const last = tilings[tilings.length - 1];
  const fits = ({ tile }: Tiling) => m > tile[0] / 2 && n > tile[1] / 2;
  return tilings.find((t) => fits(t) && (t.tile[0] <= 64 || 2 * tilesOf(t, m, n) * lanesOf(t) >= busy)) ?? last;
}

/** Workgroup memory of product_matrix: both tiles with a gap after each row, and two units of results for each subgroup, if it can where B was. */
function matrixBytes({ tile, part, depth }: Tiling, { m, n, vectors }: MatrixUnit, { tallA, tallB }: Product): number {
  const bytes = (extent: number, tall = false) => 2 * (tall ? depth * (extent + 8) : extent * (depth + 8));
  const [b, results] = [bytes(tile[1], tallB), 8 * m * n * (tile[0] / part[0]) * (tile[1] / part[1])];
  return bytes(tile[0], tallA) + (vectors ? Math.max(b, results) : b + results);
}

/** Steps of k for each workgroup: where there are few tiles, k is divided among several. */
function stepsFor(tiling: Tiling, { m, n, k }: Product): number {
  const wanted = Math.ceil((tiling.lanesPerPart > 1 ? BUSY_MATRIX_LANES : BUSY_LANES) / (tilesOf(tiling, m, n) * lanesOf(tiling)));
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
 * The dispatches of a product, in order. Matrix units take it where the device has some and B is of no
 * more precision than f16, or float32 may be rounded; everything else is computed in float32.
 */
export function product(what: Product, device: Capabilities, options: ProductOptions = {}): Dispatch[] {
  const { experts } = options;
  const unit = onUnits(what, device, experts) ? device.matrix : undefined;
  const tilings = unit ? matrixTilings(unit).filter((t) => matrixBytes(t, unit, what) <= device.workgroupBytes) : LANE_TILINGS;
  const rows = experts ? Math.ceil(what.m / experts.count) : what.m;
  const tiling = options.tiling ?? tilingFor(tilings, rows, what.n, experts ? Infinity : unit ? 2 * BUSY_MATRIX_LANES : BUSY_LANES);
  const grouping = experts ? [groupExperts(what.m, experts, tiling)] : [];
  if (!unit) return [...grouping, ...tiled(what, tiling, experts, (shared) => laneProduct(what, tiling, shared))];
  const { dispatches, ...halves } = halved(what, options);
  return [...grouping, ...dispatches, ...tiled(what, tiling, experts, (shared) => matrixProduct(what, tiling, unit, halves, shared))];
}

function onUnits({ b, tallA, tallB }: Product, { matrix, roundsFloats }: Capabilities, experts: Experts | undefined): boolean {
  if (!matrix || ((tallA || tallB) && !matrix.tall)) return false;
  return b.spec.dtype === 'f32' ? roundsFloats === true && !experts : !tallA;
}

/** A and B as matrix units want them, and the scales of both: those of A's rows, or of all of A, then that of B. */
interface Halves { readonly a: Operand; readonly b: Bound; readonly scales: Operand; readonly decoded: boolean; readonly scaled: boolean }

function halved({ m, k, a, b, tallA = false, tallB = false }: Product, { experts, repeated = false }: ProductOptions): Halves & { dispatches: Dispatch[] } {
  const rows = tallA ? k : count(a) / k;
  const columns = tallA ? m : k;
  const halvesOfA = scratch(1, { shape: [tallA ? roundUp(rows, MATRIX_DEPTHS) : rows, roundUp(columns, MATRIX_DEPTHS)], dtype: 'f16' });
  const scales = scratch(2, { shape: [rows + 1], dtype: 'f32' });
  const rowsOfA: Dispatch = { source: 'halve_rows', parameters: { ALIGNED: k % 4 === 0 }, writes: [halvesOfA, scales], reads: [a], constants: [rows, k, halvesOfA.spec.shape[1]], groups: rows, group: 256 };
  const forA = repeated ? [] : tallA ? halveAll({ ...a, spec: { shape: [rows, columns], dtype: 'f32' } }, halvesOfA, scales, 0) : [rowsOfA];
  const scaled = b.spec.dtype === 'f32';
  const whole = b.spec.dtype === 'f16' && k % MATRIX_DEPTHS === 0 && (b.spec.shape.at(-1) ?? 1) % 8 === 0;
  const decoded = !whole && !scaled && !tallB && (m < MANY_ROWS || experts !== undefined);
  const shared = { a: halvesOfA, scales, decoded, scaled };
  if (whole || decoded) return { ...shared, b, dispatches: forA };
  const [rowsOfB, columnsOfB] = b.spec.shape;
  const halvesOfB = scratch(5, { shape: [tallB ? roundUp(rowsOfB, MATRIX_DEPTHS) : rowsOfB, roundUp(columnsOfB, MATRIX_DEPTHS)], dtype: 'f16' });
  return { ...shared, b: halvesOfB, dispatches: [...forA, ...halveAll(b, halvesOfB, scales, rows)] };
}

/** A matrix as f16, padded with zeros; float32 with a scale for all of it. */
function halveAll(from: Bound, to: Operand, scales: Operand, first: number): Dispatch[] {
  const SCALED = from.spec.dtype === 'f32';
  const [rows] = from.spec.shape;
  const [paddedRows, padded] = to.spec.shape;
  const { FOURS, numbers: [numbers] } = inFours([count(from)]);
  const parts = Math.max(1, Math.min(SIZES, Math.ceil(numbers / 256)));
  const sizes = scratch(6, { shape: [SIZES], dtype: 'f32' });
  return [
    ...(SCALED ? [{ source: 'largest', parameters: { FOURS }, writes: [sizes], reads: [from], constants: [numbers, parts], groups: parts, group: 256 }] : []),
    {
      source: 'halve_all', parameters: { ...weightParameters(from.spec), SCALED }, writes: [to, scales], reads: [from, ...(SCALED ? [sizes] : [])],
      constants: [...weightConstants(from.spec), rows, paddedRows, padded, parts, first], groups: Math.ceil((paddedRows * padded) / 8 / 256), group: 256,
    },
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

function matrixProduct({ m, n, k, tallA = false, tallB = false }: Product, tiling: Tiling, unit: MatrixUnit, { a, b, scales, decoded, scaled }: Halves, { out, bias, steps, experts, share, groups }: Shared): Dispatch {
  const { tile, part, depth } = tiling;
  const group = lanesOf(tiling);
  return {
    source: 'product_matrix',
    parameters: {
      ...weightParameters(b.spec), A_TALL: tallA, B_TALL: tallB, B_HALVES: !tallB && !decoded, B_DECODED: decoded, B_SCALED: scaled,
      C_ALIGNED: n % 4 === 0, BIAS: bias.length > 0, EXPERTS: experts.length > 0, TILE_M: tile[0], TILE_N: tile[1], SIDE_M: part[0], SIDE_N: part[1], DEPTH: depth,
      UNIT_M: unit.m, UNIT_N: unit.n, UNIT_K: unit.k, UNITS_M: part[0] / unit.m, UNITS_N: part[1] / unit.n, UNITS_K: depth / unit.k,
      A_LOADS: (tile[0] * depth) / 8 / group, B_LOADS: (tile[1] * depth) / 8 / group,
      SUBGROUP: unit.subgroup, VECTORS: unit.vectors, STRIDE_UNIT: unit.strideInNumbers ? 8 : 1, SUMS_STRIDE: unit.strideInNumbers ? 4 : 1,
    },
    writes: [out], reads: [a, b, scales, ...bias, ...experts],
    constants: [...weightConstants(b.spec), m, n, k, steps, a.spec.shape[1], scales.spec.shape[0] - 1, share], groups, group,
  };
}

/** The partial sums that the dispatches of a product end with, if those do. */
interface Partial { readonly before: readonly Dispatch[]; readonly partial: Operand; readonly parts: number }

function partialOf(dispatches: readonly Dispatch[], index: number): Partial | undefined {
  const { source, parameters, reads: [from], constants: [, parts] } = dispatches[dispatches.length - 1];
  if (source !== 'sum_parts' || parameters?.BIAS) return undefined;
  // Each product's wait in memory of their own.
  const partial = scratch(PARTIAL + index, from.spec);
  const moved = <T extends Operand>(operand: T): T => (operand.buffer === from.buffer ? { ...operand, buffer: partial.buffer } : operand);
  return { before: dispatches.slice(0, -1).map((d) => ({ ...d, writes: d.writes.map(moved) })), partial, parts };
}

/** Those of all products; undefined where one has none. */
function partialsOf(products: readonly (readonly Dispatch[])[]): { before: Dispatch[]; reads: Operand[]; parts: number[] } | undefined {
  const partials = products.flatMap((each, i) => partialOf(each, i) ?? []);
  if (partials.length < products.length) return undefined;
  return { before: partials.flatMap(({ before }) => before), reads: partials.map(({ partial }) => partial), parts: partials.map(({ parts }) => parts) };
}

/** The dispatches of three products, whose partial sums one dispatch adds up if all have some. */
export function together(products: readonly (readonly Dispatch[])[], outputs: readonly Operand[]): Dispatch[] {
  const partials = partialsOf(products);
  if (!partials) return products.flat();
  const counts = outputs.map(count);
  return [...partials.before, {
    source: 'sum_parts_group', parameters: { COPIES: 3 }, writes: [outputs[0]], reads: partials.reads, alsoWrites: outputs.slice(1),
    constants: [...counts, 0, ...partials.parts, 0], groups: Math.ceil(counts.reduce((a, b) => a + b) / LANES), group: LANES,
  }];
}

/** As `together` for two, of which silu of the first times the other is wanted; undefined where they have no partial sums. */
export function gatedSums(products: readonly (readonly Dispatch[])[], out: Operand): Dispatch[] | undefined {
  const partials = partialsOf(products);
  return partials && [...partials.before, {
    source: 'sum_parts_gated', parameters: { COPIES: 2 }, writes: [out], reads: partials.reads,
    constants: [count(out), ...partials.parts], groups: Math.ceil(count(out) / LANES), group: LANES,
  }];
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
