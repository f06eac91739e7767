// Records of one row have one share. Threads that have none must stay away: two of them going over
// the same row in two passes gave wrong numbers once in some hundred runs on a busy machine.

import { expect, it } from 'vitest';
import { apply, Device, fromArray, scope } from '../../src/tensor/index.js';
import { noise, relativeError } from '../support.js';
import { wasm } from './support.js';

const N = 8192;

it('one row is computed by one thread, however often it is asked for', async () => {
  const backend = await wasm({ threads: 4 });
  const on = new Device(backend);
  const [x, w, b] = [noise(N, 1), noise(N, 2), noise(N, 3)];
  const run = async (op: 'layer_norm' | 'softmax') => {
    const out = scope(() => {
      const inputs = [fromArray(on, [1, N], x), ...(op === 'layer_norm' ? [fromArray(on, [N], w), fromArray(on, [N], b)] : [])];
      return apply(op, inputs, op === 'layer_norm' ? { eps: 1e-5 } : {})[0].retain();
    });
    const values = await out.toFloat32();
    out.release();
    return values;
  };
  for (const op of ['layer_norm', 'softmax'] as const) {
    const first = await run(op);
    for (let i = 0; i < 150; i++) expect(relativeError(await run(op), first), `${op}, run ${i}`).toBe(0);
  }
  backend.dispose();
});
