// Rows picked early are the rows picked late, and nothing else is computed.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { add, combine, Device, expertLinear, fromArray, getOp, linear, mul, normalizeSum, reshape, rmsNorm, scope, silu, softmax, takeRows, topK } from '../../src/tensor/index.js';
import type { BufferId, Call, Tensor } from '../../src/tensor/index.js';
import { noise } from '../support.js';

/** Remembers what was asked of it, and has no kernels for fused calls. */
class Watched extends ReferenceBackend {
  readonly fusesCalls = true;
  readonly calls: Call[] = [];
  buffers = 0;
  override supports(op: string): boolean {
    return !getOp(op).compose;
  }
  override append(call: Call): void {
    this.calls.push(call);
    super.append(call);
  }
  override alloc(bytes: number): BufferId {
    this.buffers++;
    return super.alloc(bytes);
  }
  override free(buffer: BufferId): void {
    this.buffers--;
    super.free(buffer);
  }
}

const on = new Device(new Watched());
const backend = on.backend as Watched, { calls } = backend;
const t = (seed: number, ...shape: number[]) => fromArray(on, shape, noise(shape.reduce((a, b) => a * b, 1), seed)).retain();
const rows = fromArray(on, [2], Int32Array.of(4, 1)).retain();

/** What `body` makes with and without early picks, which must be equal; and by op the rows of what is computed with them. */
async function early(body: () => Tensor): Promise<string[]> {
  const late = scope(body).retain();
  calls.length = 0;
  const { buffers } = backend;
  const picked = on.fused(() => scope(body), true).retain();
  expect(backend.buffers).toBe(buffers + 1);
  const made = calls.map(({ op, outputs }) => `${op} ${outputs[0]?.spec.shape[0]}`);
  expect(picked.shape).toEqual(late.shape);
  expect(await picked.toFloat32()).toEqual(await late.toFloat32());
  for (const tensor of [late, picked]) tensor.release();
  return made;
}

describe('early picks', () => {
  const [x, y, norm, up, down] = [t(1, 5, 6), t(2, 5, 6), t(3, 6), t(4, 9, 6), t(5, 6, 9)], [square, experts, router, small] = [t(6, 6, 6), t(7, 3, 6, 6), t(8, 3, 6), t(9, 5, 5)];

  it('go through a residual feed-forward part', async () => {
    const made = await early(() => {
      const h = add(x, linear(y, square));
      const n = rmsNorm(h, norm, { eps: 1e-6, offset: 0 });
      return takeRows(add(h, linear(mul(silu(linear(n, up)), linear(n, up)), down)), rows);
    });
    expect(made.filter((call) => !call.startsWith('take_rows'))).toEqual(['linear 2', 'add 2', 'rms_norm 2', 'linear 2', 'silu 2', 'linear 2', 'mul 2', 'linear 2', 'add 2']);
    expect(made.filter((call) => call.startsWith('take_rows'))).toHaveLength(2);
  });

  it('go through chosen experts', async () => {
    const made = await early(() => {
      const { values, indices } = topK(softmax(linear(x, router)), { k: 2 });
      return takeRows(combine(expertLinear(x, experts, indices), normalizeSum(values, 0)), rows);
    });
    expect(made).toEqual(['take_rows 2', 'linear 2', 'softmax 2', 'top_k 2', 'expert_linear 2', 'normalize_sum 2', 'combine 2']);
  });

  it('keep rows that something else reads', async () => {
    const made = await early(() => {
      const h = linear(x, up);
      const all = linear(reshape(h, [9, 5]), small);
      return takeRows(add(silu(h), reshape(all, [5, 9])), rows);
    });
    expect(made.filter((call) => call.startsWith('linear'))).toEqual(['linear 5', 'linear 9']);
    expect(made).toContain('silu 2');
  });

  it('leave results alone that outlive the calls', async () => {
    const seen: Tensor[] = [];
    calls.length = 0;
    seen.push(on.fused(() => scope(() => {
      seen.push(linear(x, up).retain());
      return takeRows(silu(seen[0]), rows);
    }), true).retain());
    expect(calls.map(({ op, outputs }) => `${op} ${outputs[0].spec.shape[0]}`)).toEqual(['linear 5', 'take_rows 2', 'silu 2']);
    for (const tensor of seen) tensor.release();
  });

  it('do nothing where all rows are wanted', async () => {
    const all = fromArray(on, [5], Int32Array.of(4, 3, 2, 1, 0)).retain();
    expect(await early(() => takeRows(silu(x), all))).toEqual(['silu 5', 'take_rows 5']);
  });
});
