// Runs in a worker of the browser: the case list of every op, on the backends asked for, against
// each op's own definition. Answers with the largest error of every case.

import { createBackend } from '../../src/engine/index.js';
import type { BackendName } from '../../src/engine/index.js';
import { apply, Device, fromArray, scope } from '../../src/tensor/index.js';
import { relativeError } from '../numbers.js';
import { opCases } from '../ops/cases.js';
import type { OpCase } from '../ops/cases.js';

export interface CaseResult { readonly op: string; readonly name: string; readonly error: number }

async function compute(on: Device, { op, inputs, attrs }: OpCase): Promise<ArrayLike<number>[]> {
  const outputs = scope(() => apply(op, inputs.map(({ spec, values }) => fromArray(on, spec.shape, values)), attrs).map((tensor) => tensor.retain()));
  const results: ArrayLike<number>[] = [];
  for (const output of outputs) {
    results.push(output.dtype === 'f32' ? await output.toFloat32() : await output.toInt32());
    output.release();
  }
  return results;
}

self.onmessage = async ({ data }: MessageEvent<{ backend: BackendName; threads?: number }>) => {
  try {
    const [on, oracle] = [new Device(await createBackend(data.backend, { threads: data.threads })), new Device(await createBackend('reference'))];
    const results: CaseResult[] = [];
    for (const each of opCases) {
      // Ops of gradients have kernels on the processor only.
      if (each.training && data.backend === 'webgpu') continue;
      const [got, want] = [await compute(on, each), await compute(oracle, each)];
      results.push({ op: each.op, name: each.name, error: Math.max(...got.map((values, i) => relativeError(values, want[i]))) });
    }
    on.backend.dispose();
    self.postMessage({ results });
  } catch (error) {
    self.postMessage({ failed: String(error) });
  }
};
