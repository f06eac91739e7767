// Where the GPU tests find a GPU: the machine's own, else SwiftShader (a Vulkan driver in software
// that comes with Chromium). The variables must be set before Dawn loads, so import this first.

import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { buildWgsl } from '../../scripts/build-wgsl.mjs';
import { BLOCKS } from '../../src/tensor/blocks.js';
import { apply, byteLength, Device, elementCount, f16Bits, fromArray, fromBytes, scope, View } from '../../src/tensor/index.js';
import type { Attrs, Backend, Spec, Tensor } from '../../src/tensor/index.js';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import { createBackend as createReference } from '../../src/backends/reference/index.js';
import { noise, relativeError } from '../support.js';

buildWgsl();

const softwareDrivers = [
  '/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
  '/opt/google/chrome/vk_swiftshader_icd.json', '/usr/lib64/chromium-browser/vk_swiftshader_icd.json',
];

/** What the tests run on; undefined: nothing, and they are skipped. */
export const gpuKind: 'hardware' | 'SwiftShader' | undefined = chooseDriver();

function chooseDriver() {
  const chosen = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES;
  if (chosen?.includes('swiftshader')) return 'SwiftShader';
  if (chosen || ['/dev/nvidia0', '/dev/dri/renderD128'].some((path) => existsSync(path)) || process.platform !== 'linux') return 'hardware';
  const icd = softwareDrivers.find((path) => existsSync(path));
  if (!icd) return undefined;
  process.env.VK_ICD_FILENAMES = icd;
  process.env.XDG_RUNTIME_DIR ??= '/tmp';
  return 'SwiftShader';
}

/** Backends for tests of training; a driver in software takes seconds a step, so there WebGPU has only what is named as its `sample`. */
export function trainingBackends(sample: boolean): ('reference' | 'wasm' | 'webgpu')[] {
  return ['reference', 'wasm', ...(gpuKind === 'hardware' || (gpuKind && sample) ? ['webgpu' as const] : [])];
}

/** A suite's title, saying why it is skipped where it is. */
export const titled = (name: string): string => (gpuKind ? `${name} (on ${gpuKind})` : `${name} (needs a GPU, or Chromium's SwiftShader)`);

/** One input of an op: float32 numbers (stored as the spec's type), or int32 numbers. */
export interface Input { readonly spec: Spec; readonly values: Float32Array | Int32Array }

export function floats(shape: readonly number[], seed = 1, factor = 1): Input {
  return { spec: { shape, dtype: 'f32' }, values: noise(elementCount(shape), seed).map((x) => x * factor) };
}

export function integers(shape: readonly number[], values: readonly number[]): Input {
  return { spec: { shape, dtype: 'i32' }, values: Int32Array.from(values) };
}

/** Noise in a storage format. FP8 bytes, blocks of four bits and their scales are drawn directly: their encoders are not needed. */
export function stored(spec: Spec, seed = 1): { spec: Spec; bytes: Uint8Array } {
  const values = noise(elementCount(spec.shape), seed);
  switch (spec.dtype) {
    case 'f32': return { spec, bytes: bytesOf(values) };
    case 'f16': case 'q8_0': return { spec, bytes: encodeFloat32(spec.dtype, values) };
    case 'q4_0': case 'q4_k': case 'q6_k': {
      const { bytes: size, scales } = BLOCKS[spec.dtype];
      const bytes = Uint8Array.from({ length: byteLength(spec) }, (_, i) => Math.floor((values[i % values.length] + 1) * 127 + i));
      for (let at = 0; at < bytes.length; at += size) for (const scale of scales) new DataView(bytes.buffer).setUint16(at + scale, f16Bits(0.01 * (1.5 + values[at % values.length])), true);
      return { spec, bytes };
    }
    case 'bf16': return { spec, bytes: Uint8Array.from({ length: values.length * 2 }, (_, i) => bytesOf(values)[(i >> 1) * 4 + 2 + (i & 1)]) };
    case 'f8_e4m3': {
      const bytes = new Uint8Array(byteLength(spec));
      values.forEach((x, i) => { bytes[i] = (x < 0 ? 0x80 : 0) | Math.floor(Math.abs(x) * 0x7e); });
      const table = Math.ceil(values.length / 4) * 4;
      if (spec.scaleBlock) bytes.set(bytesOf(noise((bytes.length - table) / 4, seed + 1).map((x) => 0.01 * (1.5 + x))), table);
      return { spec, bytes };
    }
    default: throw new Error(`no noise of type ${spec.dtype}`);
  }
}

const bytesOf = (values: Float32Array | Int32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

type AnyInput = Input | ReturnType<typeof stored>;

async function outputsOf(backend: Backend, op: string, inputs: readonly AnyInput[], attrs: Attrs, readInput?: number): Promise<Float32Array[]> {
  const device = new Device(backend);
  const before = device.liveBytes;
  const tensors = inputs.map((i) => ('bytes' in i ? fromBytes(device, i.spec, i.bytes) : fromArray(device, i.spec.shape, i.values)).retain());
  const kept = scope(() => apply(op, tensors, attrs).map((t) => t.retain()));
  const wanted: Tensor[] = readInput === undefined ? kept : [tensors[readInput]];
  const results = await Promise.all(wanted.map(async (t) => (t.dtype === 'i32' ? Float32Array.from(await t.toInt32()) : new View(t.spec, await t.read()).toFloat32())));
  for (const tensor of [...tensors, ...kept]) tensor.release();
  expect(device.liveBytes).toBe(before);
  return results;
}

/** Runs an op on `backend` and on the reference and compares outputs (or, for effects, one input). */
export async function compare(backend: Backend, op: string, inputs: readonly AnyInput[], attrs: Attrs = {}, { tolerance = 1e-5, readInput }: { tolerance?: number; readInput?: number } = {}): Promise<void> {
  expect(backend.supports(op, inputs.map((i) => i.spec), attrs), `${op} is supported`).toBe(true);
  const [got, want] = await Promise.all([outputsOf(backend, op, inputs, attrs, readInput), outputsOf(createReference(), op, inputs, attrs, readInput)]);
  expect(got.length).toBe(want.length);
  got.forEach((values, i) => expect(relativeError(values, want[i]), `${op}, output ${i}`).toBeLessThan(tolerance));
}
