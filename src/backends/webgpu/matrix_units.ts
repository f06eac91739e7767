// Whether the GPU's matrix units can be trusted: an experimental feature, so what the adapter reports
// is tried on a small product before any kernel uses it.

import { bitsFromF32, PAGE_TOKENS } from '../../tensor/index.js';
import type { Operand } from '../../tensor/index.js';
import type { Capabilities, MatrixUnit } from './kernel.js';
import { attentionKernels } from './kernels/attention.js';
import { product } from './kernels/product.js';
import { tryOut } from './trial.js';
import type { Values } from './trial.js';

/** Chromium's and Dawn's; a browser shows it only with a flag, Dawn only where unsafe APIs are allowed. */
export const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

interface SubgroupMatrixConfig { readonly componentType: string; readonly resultComponentType: string; readonly M: number; readonly N: number; readonly K: number }
interface MatrixInfo { readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>; readonly subgroupMinSize?: number; readonly subgroupMaxSize?: number }

/** Kernels' tiles are made of units of at most this size. */
const LARGEST_UNIT = 16;

/** Drafts of the feature leave open in what the distance between rows of vectors is counted. The fastest first. */
const WAYS_TO_LOAD = [{ vectors: true, strideInNumbers: false }, { vectors: true, strideInNumbers: true }, { vectors: false, strideInNumbers: true }] as const;

/** What the adapter reports that kernels can use: f16 numbers, float32 sums, subgroups of one size. */
export function reportedUnits(info: MatrixInfo): MatrixUnit[] {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  if (!most || least !== most) return [];
  return [...info.subgroupMatrixConfigs ?? []]
    .filter(({ componentType, resultComponentType, M, N, K }) => componentType === 'f16' && resultComponentType === 'f32' && [M, N, K].every((n) => n % 8 === 0 && n <= LARGEST_UNIT))
    .sort((x, y) => y.M * y.N * y.K - x.M * x.N * x.K)
    .flatMap(({ M: m, N: n, K: k }) => WAYS_TO_LOAD.map((way) => ({ m, n, k, subgroup: most, ...way, tall: true, attention: true })));
}

/** The first unit whose product of small whole numbers is exact, as it must be; and whether products of matrices that lie by columns are, and attention on it. */
export async function workingUnit(device: GPUDevice, units: readonly MatrixUnit[], capabilities: Capabilities): Promise<MatrixUnit | undefined> {
  for (const unit of units) {
    const tried = { ...capabilities, matrix: unit };
    if (!await multipliesExactly(device, tried)) continue;
    const tall = await multipliesExactly(device, { ...tried, roundsFloats: true }, true);
    return { ...unit, tall, attention: (await attentionError(device, tried)) < ATTENTION_ERROR };
  }
  return undefined;
}

/** Extents that no tile and no vector divides. */
const [M, N, K] = [70, 67, 72];

/** `tall`: of float32 A [k, m] and B [k, n]. */
async function multipliesExactly(device: GPUDevice, capabilities: Capabilities, tall = false): Promise<boolean> {
  const a = Float32Array.from({ length: M * K }, (_, i) => ((i * 7) % 17) - 8);
  const b = Float32Array.from({ length: N * K }, (_, i) => ((i * 5) % 13) - 6);
  const operand = (buffer: number, shape: readonly number[], dtype: 'f32' | 'f16'): Operand => ({ buffer, spec: { shape, dtype } });
  const out = operand(3, [M, N], 'f32');
  const dispatches = product(tall
    ? { m: M, n: N, k: K, a: operand(1, [K, M], 'f32'), tallA: true, b: operand(2, [K, N], 'f32'), tallB: true, out }
    : { m: M, n: N, k: K, a: operand(1, [M, K], 'f32'), b: operand(2, [N, K], 'f16'), out }, capabilities);
  const got = await tryOut(device, dispatches, new Map<number, Values>([[1, a], [2, tall ? b : halvesOf(b)]]), out);
  return got !== undefined && got.every((value, i) => {
    const [row, column] = [Math.floor(i / N), i % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += tall ? a[k * M + row] * b[k * N + column] : a[row * K + k] * b[column * K + k];
    return value === sum;
  });
}

/** Tokens at positions FIRST and on, over two pages; two heads of WIDTH share keys and values. */
const [TOKENS, FIRST, WIDTH] = [20, 50, 32];

/** What f16 leaves of attention's weights, of values up to 2. */
const ATTENTION_ERROR = 4e-3;

/** The largest error of attention over two pages with numbers that f16 holds; infinite where the driver refuses it. */
export async function attentionError(device: GPUDevice, capabilities: Capabilities): Promise<number> {
  const numbers = (length: number, factor: number) => Float32Array.from({ length }, (_, i) => (((i * factor) % 31) - 15) / 8);
  const [q, k, v] = [numbers(TOKENS * 2 * WIDTH, 7), numbers(2 * PAGE_TOKENS * WIDTH, 5), numbers(2 * PAGE_TOKENS * WIDTH, 11)];
  const f32 = (buffer: number, ...shape: number[]): Operand => ({ buffer, spec: { shape, dtype: 'f32' } });
  const i32 = (buffer: number, ...shape: number[]): Operand => ({ buffer, spec: { shape, dtype: 'i32' } });
  const out = f32(7, TOKENS, 2, WIDTH);
  const store = [2, 1, PAGE_TOKENS, WIDTH];
  const inputs = [f32(1, TOKENS, 2, WIDTH), f32(2, ...store), f32(3, ...store), i32(4, TOKENS), i32(5, TOKENS), i32(6, 1, 2)];
  const call = { op: 'paged_attention', inputs, outputs: [out], attrs: { scale: 0.25, valueDim: WIDTH }, path: '' };
  const dispatches = [attentionKernels.paged_attention.dispatch(call, 0, capabilities)].flat();
  if (dispatches[0].source !== 'paged_attention_matrix') return Infinity;
  const positions = Int32Array.from({ length: TOKENS }, (_, i) => FIRST + i);
  const got = await tryOut(device, dispatches, new Map<number, Values>([[1, q], [2, k], [3, v], [4, positions], [5, new Int32Array(TOKENS)], [6, Int32Array.of(0, 1)]]), out);
  if (!got) return Infinity;
  const errors = got.map((value, i) => {
    const [row, column] = [Math.floor(i / WIDTH), i % WIDTH];
    const seen = Array.from({ length: FIRST + Math.floor(row / 2) + 1 }, (_, j) => j);
    const weights = seen.map((j) => Math.exp(0.25 * q.subarray(row * WIDTH, (row + 1) * WIDTH).reduce((sum, x, d) => sum + x * k[j * WIDTH + d], 0)));
    const right = seen.reduce((sum, j) => sum + weights[j] * v[j * WIDTH + column], 0) / weights.reduce((a, b) => a + b, 0);
    return Number.isNaN(value) ? Infinity : Math.abs(value - right);
  });
  return Math.max(...errors);
}

/** f16 of whole numbers from -8 to 8. */
function halvesOf(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (x) => {
    const bits = bitsFromF32(x);
    return x === 0 ? 0 : ((bits >>> 16) & 0x8000) | ((bits >>> 13) - (112 << 10) & 0x7fff);
  });
}
