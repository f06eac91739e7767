// A backend's self-test: a few ops of a decode step, held to the reference backend. Not a test suite:
// it tells a machine whose driver or engine computes wrongly from one that can be trusted.

import { createBackend } from '../engine/index.js';
import type { BackendName } from '../engine/index.js';
import {
  activate, Device, fromArray, fromBytes, kvAppend, layerNorm, linear, mul, pagedAttention, PAGE_TOKENS, rmsNorm, rope, softmax,
} from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';

export interface SelfTest {
  readonly name: string;
  readonly ok: boolean;
  readonly milliseconds: number;
  /** What went wrong, in one line. */
  readonly reason?: string;
}

/** Backends may round activations to 16 bits, or weights' products to f16. */
const TOLERANCE = 5e-3;

/** Runs every case on a backend and on the reference. Never rejects. */
export async function selfTest(name: BackendName): Promise<SelfTest> {
  const started = performance.now();
  const done = (reason?: string): SelfTest => ({ name, ok: reason === undefined, milliseconds: performance.now() - started, reason });
  try {
    const [want, got] = [await results('reference'), await results(name)];
    const wrong = [...want].find(([op, values]) => !(relativeError(got.get(op)!, values) <= TOLERANCE));
    return done(wrong && `${wrong[0]} differs from the reference by ${relativeError(got.get(wrong[0])!, wrong[1]).toPrecision(2)} of its largest value`);
  } catch (error) {
    return done(error instanceof Error ? error.message : String(error));
  }
}

async function results(name: BackendName): Promise<Map<string, Float32Array>> {
  const backend = await createBackend(name);
  try {
    const device = new Device(backend);
    const out = new Map<string, Float32Array>();
    for (const [op, run] of Object.entries(cases)) {
      const tensor = run(device);
      out.set(op, await tensor.toFloat32());
    }
    return out;
  } finally {
    backend.dispose();
  }
}

const [TOKENS, WIDTH, HEADS, HEAD_WIDTH] = [3, 64, 4, 32];

const cases: Readonly<Record<string, (device: Device) => Tensor>> = {
  'linear (f32)': (device) => linear(floats(device, [TOKENS, WIDTH], 1), floats(device, [96, WIDTH], 2)),
  'linear (bf16)': (device) => linear(floats(device, [TOKENS, WIDTH], 3), halves(device, [96, WIDTH])),
  'rms_norm': (device) => rmsNorm(floats(device, [TOKENS, WIDTH], 4), floats(device, [WIDTH], 5), { eps: 1e-6, offset: 0 }),
  'layer_norm': (device) => layerNorm(floats(device, [TOKENS, WIDTH], 6), floats(device, [WIDTH], 7), floats(device, [WIDTH], 8), 1e-5),
  'silu and mul': (device) => mul(activate('silu', floats(device, [TOKENS, WIDTH], 9)), floats(device, [TOKENS, WIDTH], 10)),
  'softmax': (device) => softmax(floats(device, [TOKENS, WIDTH], 11)),
  'rope': (device) => rope(floats(device, [TOKENS, HEADS, HEAD_WIDTH], 12), ints(device, [TOKENS], [0, 1, 2]),
    fromArray(device, [HEAD_WIDTH / 2], Float32Array.from({ length: HEAD_WIDTH / 2 }, (_, i) => 1e4 ** ((-2 * i) / HEAD_WIDTH))), { layout: 'half', amplitude: 1 }),
  'paged attention': (device) => {
    const [keyHeads, pages] = [2, 1];
    const store = () => fromArray(device, [pages, keyHeads, PAGE_TOKENS, HEAD_WIDTH], new Float32Array(pages * PAGE_TOKENS * keyHeads * HEAD_WIDTH));
    const [k, v, positions, slots, table] = [store(), store(), ints(device, [TOKENS], [0, 1, 2]), ints(device, [TOKENS], [0, 0, 0]), ints(device, [1, pages], [0])];
    kvAppend(k, floats(device, [TOKENS, keyHeads, HEAD_WIDTH], 13), positions, slots, table);
    kvAppend(v, floats(device, [TOKENS, keyHeads, HEAD_WIDTH], 14), positions, slots, table);
    return pagedAttention(floats(device, [TOKENS, HEADS, HEAD_WIDTH], 15), k, v, positions, slots, table, { scale: HEAD_WIDTH ** -0.5, valueDim: HEAD_WIDTH });
  },
};

/** Numbers that look random and are the same every time. */
function floats(device: Device, shape: number[], seed: number): Tensor {
  return fromArray(device, shape, Float32Array.from({ length: size(shape) }, (_, i) => Math.sin((i + 1) * (seed + 0.7) * 1.37)));
}

function halves(device: Device, shape: number[]): Tensor {
  const bits = Uint16Array.from({ length: size(shape) }, (_, i) => 0x3f00 + ((i * 37) % 128) + (i % 3 === 0 ? 0x8000 : 0));
  return fromBytes(device, { shape, dtype: 'bf16' }, new Uint8Array(bits.buffer));
}

function ints(device: Device, shape: number[], values: number[]): Tensor {
  return fromArray(device, shape, Int32Array.from(values));
}

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function relativeError(got: Float32Array, want: Float32Array): number {
  let [error, largest] = [0, 0];
  want.forEach((value, i) => {
    const difference = Math.abs(got[i] - value);
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
    largest = Math.max(largest, Math.abs(value));
  });
  return error / largest;
}
