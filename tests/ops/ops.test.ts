// Every op: its cases run, its shapes are inferred, its gradient agrees with finite differences,
// wrong shapes are refused with both shapes in the message, and nothing stays allocated.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { allOps, apply, Device, fromArray, getOp, recordTape, scope } from '../../src/tensor/index.js';
import type { Tensor } from '../../src/tensor/index.js';
import { noise } from '../support.js';
import { coveredElsewhere, opCases } from './cases.js';
import type { OpCase } from './cases.js';

const device = () => new Device(new ReferenceBackend());
const upload = (on: Device, c: OpCase): Tensor[] => c.inputs.map(({ spec, values }) => fromArray(on, spec.shape, values));

/** Outputs that gradients come from: all of floats, or those that a case names. */
const seeded = (c: OpCase, i: number, out: Tensor): boolean => out.dtype === 'f32' && (c.seeded?.includes(i) ?? true);

/** Sum of such outputs times fixed noise: a scalar that every one of their elements moves. */
async function weighedSum(on: Device, c: OpCase, replaced?: { input: number; values: Float32Array }): Promise<number> {
  const outputs = scope(() => {
    const inputs = upload(on, c);
    if (replaced) inputs[replaced.input] = fromArray(on, inputs[replaced.input].shape, replaced.values);
    return apply(c.op, inputs, c.attrs).map((t) => t.retain());
  });
  let sum = 0;
  for (const [i, out] of outputs.entries()) {
    if (seeded(c, i, out)) (await out.toFloat32()).forEach((x, j) => { sum += x * weights(i, j); });
    out.release();
  }
  return sum;
}
const weights = (output: number, element: number) => noise(element + 1, output + 17)[element];

it('every op has cases, or is covered elsewhere by name', () => {
  const withCases = new Set(opCases.map((c) => c.op));
  const missing = allOps().map((op) => op.name).filter((name) => !withCases.has(name) && !(name in coveredElsewhere));
  expect(missing).toEqual([]);
});

for (const op of new Set(opCases.map((c) => c.op))) {
  describe(op, () => {
    for (const c of opCases.filter((each) => each.op === op)) {
      it(`infers and computes: ${c.name}`, async () => {
        const on = device();
        const outputs = scope(() => apply(op, upload(on, c), c.attrs).map((t) => t.retain()));
        expect(outputs.map((t) => t.spec)).toEqual(getOp(op).infer(c.inputs.map((i) => i.spec), c.attrs ?? {}));
        for (const out of outputs) {
          const values = out.dtype === 'f32' ? await out.toFloat32() : await out.toInt32();
          expect([...values].every(Number.isFinite)).toBe(true);
          out.release();
        }
        const cost = getOp(op).cost(c.inputs.map((i) => i.spec), c.attrs ?? {}, { contextLength: 64 });
        expect(Object.values(cost).every((n) => Number.isFinite(n) && n >= 0)).toBe(true);
        expect(on.liveBytes).toBe(0);
      });
      for (const input of c.differentiable ?? []) it(`gradient of input ${input}: ${c.name}`, () => expectGradient(c, input));
    }
  });
}

async function expectGradient(c: OpCase, input: number): Promise<void> {
  const on = device();
  const gradient = scope(() => {
    const inputs = upload(on, c);
    const { result: outputs, tape } = recordTape(() => apply(c.op, inputs, c.attrs));
    const seeds = outputs.map((out, i) => (seeded(c, i, out) ? fromArray(on, out.shape, Float32Array.from({ length: out.shape.reduce((a, b) => a * b, 1) }, (_, j) => weights(i, j))) : null));
    return tape.backward(outputs, seeds, [inputs[input]])[0]!.retain();
  });
  const got = await gradient.toFloat32();
  gradient.release();
  expect(on.liveBytes).toBe(0);
  const values = c.inputs[input].values as Float32Array;
  const h = 2e-3;
  for (let i = 0; i < values.length; i++) {
    const at = async (delta: number) => {
      const moved = values.slice();
      moved[i] += delta;
      return weighedSum(on, c, { input, values: moved });
    };
    const slope = (await at(h) - await at(-h)) / (2 * h);
    expect(Math.abs(slope - got[i]), `element ${i}: ${slope} by differences, ${got[i]} by the tape`).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
  }
}

describe('what is refused', () => {
  const on = device();
  const t = (...shape: number[]) => fromArray(on, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  it('names both shapes', () => {
    expect(() => apply('linear', [t(2, 3), t(4, 5)])).toThrow('linear: the last axis of x must equal the last axis of a matrix W, got [2, 3] f32 and [4, 5] f32');
    expect(() => apply('add', [t(2, 3), t(2)])).toThrow('[2, 3] f32 and [2] f32');
    expect(() => apply('concat', [t(2, 3), t(3, 3)])).toThrow('[2, 3] f32 and [3, 3] f32');
  });
  it('refuses an input that died with its scope', () => {
    let gone: Tensor | undefined;
    scope(() => { gone = t(2); });
    expect(() => apply('silu', [gone!])).toThrow('freed with its scope');
  });
  it('refuses an asynchronous scope', () => {
    expect(() => scope(async () => t(1))).toThrow('must be synchronous');
  });
  it('poisons what a failed call would have computed, and says where', async () => {
    const bad = apply('take_rows', [t(2, 3), fromArray(on, [1], Int32Array.of(7))])[0];
    const after = apply('silu', [bad])[0];
    await expect(after.toFloat32()).rejects.toThrow('take_rows failed on reference: take_rows: index 7 of 2 rows');
  });
});
