// Weights of a published shape without a checkpoint: a repeating pattern of small numbers in the
// wanted format. For speed and memory measurements; the text it produces means nothing.

import { encodeFloat32 } from '../checkpoint/encode.js';
import { buildModel } from '../models/index.js';
import { parameters } from '../nn/index.js';
import type { Parameter } from '../nn/index.js';
import { byteLength, elementCount, empty, fitsBlocks } from '../tensor/index.js';
import type { Backend, Device, Spec, Tensor } from '../tensor/index.js';
import { Engine } from './engine.js';
import type { EngineOptions } from './engine.js';
import { MOST_UNDER_WAY } from './fill.js';
import { bytesBeside } from './residency.js';

export type SyntheticFormat = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0';

/** Bytes written at a time. */
const CHUNK = 16 * 2 ** 20;

/** A model of a hub config with such weights. The backend is the engine's from here on, also on failure. */
export async function syntheticEngine(config: unknown, backend: Backend, format: SyntheticFormat, options: EngineOptions = {}): Promise<Engine> {
  try {
    const { decoder } = buildModel(config);
    const bytes = parameters(decoder).reduce((sum, parameter) => sum + byteLength(syntheticSpec(parameter, format)), 0);
    await backend.reserve(bytes, bytesBeside(decoder, options));
    const blank: [Tensor, Parameter][] = [];
    const engine = Engine.create(config, backend, (parameter, device) => {
      const tensor = emptyWeight(parameter, device, format);
      blank.push([tensor, parameter]);
      return tensor;
    }, options);
    let underWay = 0;
    for (const [tensor, parameter] of blank) for (const written of fillWeight(tensor, parameter, format)) {
      underWay += written;
      if (underWay < MOST_UNDER_WAY) continue;
      underWay = 0;
      await backend.drain?.();
    }
    return engine;
  } catch (error) {
    backend.dispose();
    throw error;
  }
}

/** Matrices are in `format`, vectors and routers in float32. */
export function syntheticSpec({ shape, precise }: Parameter, format: SyntheticFormat): Spec & { readonly dtype: SyntheticFormat } {
  return { shape, dtype: shape.length < 2 || precise || !fitsBlocks(format, shape.at(-1)!) ? 'f32' : format };
}

/** A tensor for one parameter. */
export function syntheticWeight(parameter: Parameter, device: Device, format: SyntheticFormat): Tensor {
  const tensor = emptyWeight(parameter, device, format);
  for (const _ of fillWeight(tensor, parameter, format));
  return tensor;
}

const emptyWeight = (parameter: Parameter, device: Device, format: SyntheticFormat): Tensor => empty(device, syntheticSpec(parameter, format));

/** Writes the pattern piece by piece; yields the bytes of each. */
function* fillWeight({ storage, device }: Tensor, parameter: Parameter, format: SyntheticFormat): Generator<number> {
  const { shape, init } = parameter;
  const spec = syntheticSpec(parameter, format);
  const bytes = shape.length < 2 ? new Uint8Array(new Float32Array(elementCount(shape)).fill('constant' in init ? init.constant : 0).buffer) : matrixPattern(spec);
  const total = byteLength(spec);
  for (let at = 0; at < total; at += bytes.length) {
    const piece = bytes.subarray(0, Math.min(bytes.length, total - at));
    device.backend.write(storage.id, at, piece);
    yield piece.length;
  }
}

/** A chunk of whole units. Deviation 1 / sqrt(inputs) keeps activations near one through any depth. */
function matrixPattern({ shape, dtype }: ReturnType<typeof syntheticSpec>): Uint8Array {
  const unit = unitBytes(dtype, 1 / Math.sqrt(shape.at(-1)!));
  const pattern = new Uint8Array(Math.floor(CHUNK / unit.length) * unit.length);
  for (let at = 0; at < pattern.length; at += unit.length) pattern.set(unit, at);
  return pattern;
}

/** 8,160 numbers of the given deviation (a multiple of no power-of-two row above 32), encoded. */
function unitBytes(dtype: SyntheticFormat, deviation: number): Uint8Array {
  const count = 255 * 32;
  let state = 1;
  const values = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state / 0x40000000 - 1) * deviation * Math.sqrt(3);
  });
  return encodeFloat32(dtype, values);
}
