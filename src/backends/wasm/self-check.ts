// Whether kernels compute what ops are defined to: asked before code is trusted that an experimental
// optimiser made. Inputs are whole numbers up to 127 in every 32, which only attention that may round does.

import { BLOCKS, byteLength, elementCount, getOp, isBlockType, PAGE_TOKENS, View } from '../../tensor/index.js';
import type { Attrs, DType, Spec } from '../../tensor/index.js';
import type { WasmBackend } from './backend.js';

interface Input { readonly spec: Spec; readonly bytes: Uint8Array }
interface Check { readonly op: string; readonly inputs: readonly Input[]; readonly attrs?: Attrs; readonly tolerance?: number }

/** Of the largest number of a result: sums in another order differ by less. */
const TOLERANCE = 1e-4;

/** The first op that is wrong, or undefined. */
export async function findFault(backend: WasmBackend): Promise<string | undefined> {
  for (const check of checks()) {
    const [got, want] = [await computed(backend, check), defined(check)];
    const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    if (got.some((x, i) => !(Math.abs(x - want[i]) <= (check.tolerance ?? TOLERANCE) * largest))) return `${check.op} of ${check.inputs[1]?.spec.dtype ?? 'f32'}`;
  }
  return undefined;
}

function checks(): Check[] {
  const types: DType[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_k', 'q6_k'];
  const [heads, keyHeads, width, tokens] = [4, 2, 32, 37];
  const pages = (): Input => floats(1, keyHeads, PAGE_TOKENS, width);
  const attention = (count: number, rounded: boolean): Check => ({
    op: 'paged_attention', attrs: { scale: rounded ? 1e-4 : 0.01, valueDim: width, rounded }, tolerance: rounded ? 1e-3 : TOLERANCE,
    inputs: [floats(count, heads, width), pages(), pages(), ints([count], (i) => tokens - count + i), ints([count], () => 0), ints([1, 1], () => 0)],
  });
  return [
    ...types.flatMap((dtype) => [1, 9, 21].map((count): Check => ({ op: 'linear', inputs: [floats(count, 256), matrix({ shape: [24, 256], dtype })] }))),
    attention(1, false), attention(tokens, false), attention(tokens, true),
    { op: 'rms_norm', inputs: [floats(5, 64), floats(64)], attrs: { eps: 1e-6, offset: 0 } },
    { op: 'silu_mul', inputs: [floats(5, 64), floats(5, 64)] },
    { op: 'softmax', inputs: [floats(5, 64)] },
    { op: 'add', inputs: [floats(5, 64), floats(5, 64)] },
    { op: 'rope', inputs: [floats(5, 2, 32), ints([5], (i) => i), floats(16)], attrs: { layout: 'half', amplitude: 1 } },
  ];
}

function floats(...shape: number[]): Input {
  const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => (i % 32 ? ((i * 37) % 127) - 63 : 127));
  return { spec: { shape, dtype: 'f32' }, bytes: new Uint8Array(values.buffer) };
}

function ints(shape: number[], value: (i: number) => number): Input {
  return { spec: { shape, dtype: 'i32' }, bytes: new Uint8Array(Int32Array.from({ length: elementCount(shape) }, (_, i) => value(i)).buffer) };
}

/** Bytes of every value; 16-bit floats, and scales of blocks, of ordinary size. */
function matrix(spec: Spec): Input {
  if (spec.dtype === 'f32') return floats(...spec.shape);
  const bytes = Uint8Array.from({ length: byteLength(spec) }, (_, i) => (i * 151) & 255);
  const ordinary = (at: number): void => { bytes[at + 1] = (bytes[at + 1] & 0x83) | 0x2c; };
  if (!isBlockType(spec.dtype)) for (let at = 0; at < bytes.length; at += 2) ordinary(at);
  else for (let at = 0; at < bytes.length; at += BLOCKS[spec.dtype].bytes) for (const scale of BLOCKS[spec.dtype].scales) ordinary(at + scale);
  return { spec, bytes };
}

const outputOf = ({ op, inputs, attrs = {} }: Check): Spec => getOp(op).infer(inputs.map(({ spec }) => spec), attrs)[0];

function defined(check: Check): Float32Array {
  const spec = outputOf(check);
  const out = new Uint8Array(byteLength(spec));
  getOp(check.op).reference(check.inputs.map((input) => new View(input.spec, input.bytes)), [new View(spec, out)], check.attrs ?? {});
  return new Float32Array(out.buffer);
}

async function computed(backend: WasmBackend, { op, inputs, attrs = {} }: Check): Promise<Float32Array> {
  const spec = outputOf({ op, inputs, attrs });
  const given = inputs.map((input) => {
    const buffer = backend.alloc(input.bytes.length);
    backend.write(buffer, 0, input.bytes);
    return { buffer, spec: input.spec };
  });
  const output = { buffer: backend.alloc(byteLength(spec)), spec };
  backend.append({ op, inputs: given, outputs: [output], attrs, path: 'self-check' });
  try {
    return new Float32Array((await backend.read(output.buffer, 0, byteLength(spec))).slice().buffer);
  } finally {
    for (const { buffer } of [...given, output]) backend.free(buffer);
  }
}
