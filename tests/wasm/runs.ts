// One op on the wasm backend: inputs in every stored format, and what the definition makes of them.
// Runs in browsers too.

import type { WasmBackend } from '../../src/backends/wasm/index.js';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import type { EncodedType } from '../../src/checkpoint/encode.js';
import { BLOCKS, byteLength, elementBytes, elementCount, f16Bits, getOp, scaleGrid, scaleOffset, View } from '../../src/tensor/index.js';
import type { Attrs, BlockType, Call, Spec } from '../../src/tensor/index.js';
import { noise } from '../numbers.js';

/** A tensor's spec and bytes. */
export interface Bytes { readonly spec: Spec; readonly bytes: Uint8Array }

export function floats(shape: readonly number[], seed = 1, scale = 1): Bytes {
  return { spec: { shape, dtype: 'f32' }, bytes: bytesOf(noise(elementCount(shape), seed).map((x) => x * scale)) };
}

export function ints(shape: readonly number[], values: readonly number[]): Bytes {
  return { spec: { shape, dtype: 'i32' }, bytes: bytesOf(Int32Array.from(values)) };
}

/** Noise in a stored format; FP8 bytes avoid the two NaNs, and scales are positive. */
export function stored(spec: Spec, seed = 1): Bytes {
  if (spec.dtype === 'q4_k' || spec.dtype === 'q6_k') return { spec, bytes: blocks(spec, spec.dtype, seed) };
  const values = noise(elementCount(spec.shape), seed);
  if (spec.dtype !== 'f8_e4m3') return { spec, bytes: encodeFloat32(spec.dtype as EncodedType, values) };
  const bytes = new Uint8Array(byteLength(spec));
  bytes.set(Uint8Array.from(values, (x) => Math.floor(Math.abs(x) * 100) | (x < 0 ? 0x80 : 0)));
  if (scaleGrid(spec)) {
    const scales = new Float32Array(bytes.buffer, scaleOffset(spec));
    scales.set(noise(scales.length, seed + 1).map((x) => 0.02 + Math.abs(x) / 50));
  } else if (bytes.length !== elementBytes(spec)) throw new Error('unexpected padding');
  return { spec, bytes };
}

/** Blocks of random bytes, the extreme ones among them, with small f16 scales of both signs. */
function blocks(spec: Spec, dtype: BlockType, seed: number): Uint8Array {
  const { bytes: size, scales } = BLOCKS[dtype];
  const random = noise(byteLength(spec), seed);
  const out = Uint8Array.from(random, (x, i) => (i % 97 === 0 ? 255 : i % 89 === 0 ? 0 : Math.floor(Math.abs(x) * 1e6)));
  const view = new DataView(out.buffer);
  for (let at = 0; at < out.length; at += size) for (const scale of scales) view.setUint16(at + scale, f16Bits(random[at + scale] / 1000), true);
  return out;
}

export const bytesOf = (array: Float32Array | Int32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** `written`: of an op without outputs, the inputs that it writes into; the first unless it says so. */
export interface OpRun { readonly op: string; readonly inputs: readonly Bytes[]; readonly attrs?: Attrs; readonly written?: readonly number[] }

/** What the definition gives: outputs, or for an op that writes into inputs, those. */
export function expected({ op, inputs, attrs = {}, written = [0] }: OpRun): Uint8Array[] {
  const given = inputs.map(({ spec, bytes }) => ({ spec, bytes: bytes.slice() }));
  const outputs = getOp(op).infer(given.map((i) => i.spec), attrs).map((spec) => ({ spec, bytes: new Uint8Array(byteLength(spec)) }));
  const view = ({ spec, bytes }: Bytes) => new View(spec, bytes);
  getOp(op).reference(given.map(view), outputs.map(view), attrs);
  return (outputs.length > 0 ? outputs : written.map((i) => given[i])).map(({ bytes }) => bytes);
}

/** The same on a backend, appended or as a recorded plan; every buffer is freed. */
export async function computed(backend: WasmBackend, { op, inputs, attrs = {}, written = [0] }: OpRun, recorded = false): Promise<Uint8Array[]> {
  const place = ({ spec, bytes }: Bytes) => {
    const buffer = backend.alloc(bytes.length);
    backend.write(buffer, 0, bytes);
    return { buffer, spec };
  };
  const given = inputs.map(place);
  const outputs = getOp(op).infer(given.map((i) => i.spec), attrs).map((spec) => ({ buffer: backend.alloc(byteLength(spec)), spec }));
  const call: Call = { op, inputs: given, outputs, attrs, path: 'test' };
  const plan = recorded ? backend.record([call], outputs.map(({ buffer }) => buffer)) : undefined;
  if (plan) plan.replay();
  else backend.append(call);
  try {
    return await Promise.all((outputs.length > 0 ? outputs : written.map((i) => given[i])).map(({ buffer, spec }) => backend.read(buffer, 0, byteLength(spec))));
  } finally {
    plan?.dispose();
    for (const { buffer } of [...given, ...outputs]) backend.free(buffer);
  }
}

/**
 * Rows rounded as kernels with relaxed SIMD round what matrices of blocks are multiplied with: to int8, with a scale
 * of largest / 127 for every 32 columns, or (`byRow`) for a row, halved for every 32 columns as often as their
 * largest number allows.
 */
export function roundedToInt8({ spec, bytes }: Bytes, byRow: boolean): Bytes {
  const values = new Float32Array(bytes.slice().buffer), columns = spec.shape[spec.shape.length - 1];
  const largest = (numbers: Float32Array) => numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (let row = 0; row < values.length; row += columns) {
    const ofRow = largest(values.subarray(row, row + columns));
    for (let at = row; at < row + columns; at += 32) {
      const block = values.subarray(at, Math.min(at + 32, row + columns));
      const most = byRow ? ofRow : largest(block), halvings = byRow ? Math.max(0, Math.min(24, -1 - Math.floor(Math.log2(Math.fround(largest(block) / ofRow))))) : 0;
      const inverse = Math.fround(most > 0 ? 127 / most : 0) * 2 ** halvings, scale = Math.fround(most / 127) / 2 ** halvings;
      block.forEach((x, i) => { block[i] = nearestEven(Math.fround(x * inverse)) * scale; });
    }
  }
  return { spec, bytes: bytesOf(values) };
}

function nearestEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
