// Every op that the wasm backend has gives what its definition gives; and the same bits on one thread
// and on three.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONTROL_REVECTORIZED } from '../../src/backends/wasm/abi.js';
import { lowerings } from '../../src/backends/wasm/lower/index.js';
import type { WasmBackend } from '../../src/backends/wasm/index.js';
import { relativeError } from '../support.js';
import { wasmCases } from './op_cases.js';
import { bytesOf, computed, expected, roundedToInt8 } from './runs.js';
import type { OpRun } from './runs.js';
import { multipliesBytes, wasm } from './support.js';

it('every op that has kernels has cases', () => {
  const withCases = new Set(wasmCases.map(({ op }) => op));
  expect([...lowerings.keys()].filter((op) => !withCases.has(op))).toEqual([]);
});

describe.each([['plain SIMD', false], ['relaxed SIMD', true]])('ops, %s', (_, relaxedSimd) => {
  let one: WasmBackend;
  let three: WasmBackend;
  let unshared: WasmBackend;
  let joining: WasmBackend;
  beforeAll(async () => {
    [one, three, unshared, joining] = await Promise.all([wasm({ threads: 1, relaxedSimd }), wasm({ threads: 3, relaxedSimd }), wasm({ workers: false, relaxedSimd }), wasm({ threads: 1, relaxedSimd })]);
    takeFormsForJoining(joining);
  });
  afterAll(() => {
    for (const backend of [one, three, unshared, joining]) backend.dispose();
  });

  for (const op of new Set(wasmCases.map((c) => c.op))) {
    it(op, async () => {
      for (const c of wasmCases.filter((each) => each.op === op)) {
        expect(one.supports(op, c.inputs.map(({ spec }) => spec), c.attrs ?? {}), c.note).toBe(true);
        const want = relaxedSimd && roundsToBytes(c) ? expectedOfBytes(c) : expected(c);
        const got = await computed(one, c);
        got.forEach((bytes, i) => {
          if (c.exact || (op === 'top_k' && i === 1)) expect(bytes, c.note).toEqual(want[i]);
          else expect(relativeError(numbers(bytes), numbers(want[i])), `${op}: ${c.note}`).toBeLessThan(c.tolerance ?? 1e-5);
        });
        for (const [name, other] of [['three threads', computed(three, c)], ['a plan', computed(three, c, true)], ['no workers', computed(unshared, c)], ['forms for engines that join instructions', computed(joining, c)]] as const) {
          expect(await other, `${op}: ${c.note}, ${name}`).toEqual(got);
        }
      }
    });
  }
});

it('attention of many rows is rounded where it may be', async () => {
  const backend = await wasm({ threads: 1, relaxedSimd: false });
  try {
    const c = wasmCases.find(({ note }) => note === 'rounded, f32, heads of 64')!;
    const [rounded, exact] = await Promise.all([c, { ...c, attrs: { ...c.attrs, rounded: false } }].map(async (each) => numbers((await computed(backend, each))[0])));
    expect(relativeError(rounded, exact)).toBeGreaterThan(1e-5);
  } finally {
    backend.dispose();
  }
});

/** Lets kernels take the forms that they have for a revectorising engine, in one that does not. */
function takeFormsForJoining(backend: WasmBackend): void {
  const { heap, stream } = backend as unknown as { heap: { words: Int32Array }; stream: { control: number } };
  heap.words[stream.control / 4 + CONTROL_REVECTORIZED] = 1;
}

const numbers = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

const byteFormats = ['q4_0', 'q4_k', ...(multipliesBytes() ? ['q8_0'] : [])];
const roundsToBytes = ({ op, inputs }: OpRun): boolean => (op === 'linear' || op === 'expert_linear') && byteFormats.includes(inputs[1].spec.dtype);

/** Groups of four matrix rows are multiplied with activations rounded to int8, rows behind the last group with these as they are. */
function expectedOfBytes(c: OpRun): Uint8Array[] {
  const rows = c.inputs[1].spec.shape.at(-2)!;
  const [exact, rounded] = [c, { ...c, inputs: [roundedToInt8(c.inputs[0], c.inputs[1].spec.dtype !== 'q8_0'), ...c.inputs.slice(1)] }].map((each) => numbers(expected(each)[0]));
  return [bytesOf(exact.map((x, i) => (i % rows < rows - (rows % 4) ? rounded[i] : x)))];
}
