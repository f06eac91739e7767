// The case list on every backend that runs models: each op against its own definition.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { createBackend } from '../../src/engine/index.js';
import { apply, Device, fromArray, getOp, scope } from '../../src/tensor/index.js';
import { relativeError } from '../support.js';
import { gpuKind, titled } from '../webgpu/support.js';
import { opCases } from './cases.js';
import type { OpCase } from './cases.js';

/** A GPU's driver in software compiles for seconds: tests/webgpu/ops.test.ts alone has training's cases there. */
const casesFor = (name: string): readonly OpCase[] => (name === 'webgpu' ? opCases.filter((c) => !c.training) : opCases);

async function compute(on: Device, c: OpCase): Promise<(Float32Array | Int32Array)[]> {
  const outputs = scope(() => apply(c.op, c.inputs.map(({ spec, values }) => fromArray(on, spec.shape, values)), c.attrs).map((t) => t.retain()));
  const results: (Float32Array | Int32Array)[] = [];
  for (const out of outputs) {
    results.push(out.dtype === 'f32' ? await out.toFloat32() : await out.toInt32());
    out.release();
  }
  return results;
}

for (const { name, options, tolerance, title } of [
  { name: 'wasm' as const, options: { threads: 1 }, tolerance: 1e-5, title: 'wasm, one thread' },
  { name: 'wasm' as const, options: { threads: 2 }, tolerance: 1e-5, title: 'wasm, two threads' },
  { name: 'webgpu' as const, options: {}, tolerance: 1e-4, title: titled('webgpu') },
]) {
  describe.skipIf(name === 'webgpu' && !gpuKind)(title, () => {
    let on: Device;
    const oracle = new Device(new ReferenceBackend());
    beforeAll(async () => { on = new Device(await createBackend(name, options)); });
    afterAll(() => {
      expect(on.liveBytes).toBe(0);
      on.backend.dispose();
    });
    for (const op of new Set(casesFor(name).map((c) => c.op))) it(op, async () => {
      for (const c of casesFor(name).filter((each) => each.op === op)) {
        const supported = on.backend.supports(op, c.inputs.map((i) => i.spec), c.attrs ?? {});
        expect(supported || (name === 'wasm' && getOp(op).compose !== undefined), c.name).toBe(true);
        const [got, want] = [await compute(on, c), await compute(oracle, c)];
        got.forEach((values, i) => {
          if (values instanceof Int32Array) expect(values, c.name).toEqual(want[i]);
          else expect(relativeError(values, want[i]), c.name).toBeLessThan(tolerance);
        });
      }
    });
  });
}
