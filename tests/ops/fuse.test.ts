// Fused ops equal their composition, and the peephole rules change nothing but the list's length.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { add, apply, Device, fromArray, fuse, getOp, linear, mul, rmsNorm, rope, scope, silu } from '../../src/tensor/index.js';
import type { Attrs, Call, Tensor } from '../../src/tensor/index.js';
import { loadReference, noise, relativeError } from '../support.js';

const on = new Device(new ReferenceBackend());
const t = (seed: number, ...shape: number[]) => fromArray(on, shape, noise(shape.reduce((a, b) => a * b, 1), seed)).retain();

describe('fused ops', () => {
  const cases: [string, Tensor[], Attrs][] = [
    ['add_rms_norm', [t(1, 3, 8), t(2, 3, 8), t(3, 8)], { eps: 1e-6, offset: 0 }],
    ['add_rms_norm', [t(1, 2, 33), t(2, 2, 33), t(3, 33)], { eps: 1e-5, offset: 1 }],
    ['silu_mul', [t(4, 3, 9), t(5, 3, 9)], {}],
    ['linear_silu_mul', [t(4, 3, 6), t(5, 9, 6), t(6, 3, 9)], {}],
    ...['half', 'interleaved'].map((layout): [string, Tensor[], Attrs] =>
      ['rms_norm_rope', [t(4, 3, 2, 10), t(5, 10), fromArray(on, [3], Int32Array.of(0, 5, 70)).retain(), t(6, 4)], { eps: 1e-6, offset: 1, layout, amplitude: 1.2 }]),
  ];
  for (const [op, inputs, attrs] of cases) it(`${op} equals its composition`, async () => {
    const fused = apply(op, inputs, attrs);
    const composed = getOp(op).compose!(inputs, attrs);
    expect(fused.length).toBe(composed.length);
    for (const [i, out] of fused.entries()) expect(relativeError(await out.toFloat32(), await composed[i].toFloat32())).toBeLessThan(1e-6);
  });
});

describe('fuse', () => {
  const captured = (body: () => Tensor): { calls: Call[]; keep: Tensor } => {
    const { result, capture } = on.capture(() => scope(body).retain());
    return { calls: capture.calls, keep: result };
  };
  const all = () => true;

  it('joins add with the norm that follows, and keeps the sum for others', () => {
    const [a, b, w] = [t(1, 2, 4), t(2, 2, 4), t(3, 4)];
    const { calls, keep } = captured(() => { const s = add(a, b); return add(s, rmsNorm(s, w, { eps: 1e-6, offset: 0 })); });
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['add_rms_norm', 'add']);
  });
  it('joins silu with the product over a call between them', () => {
    const [g, u] = [t(1, 2, 4), t(2, 2, 4)];
    const { calls, keep } = captured(() => { const s = silu(g); const v = add(u, u); return mul(s, v); });
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['add', 'silu_mul']);
  });
  it('joins a product with the gate that it feeds, and a norm of heads with their rotation', () => {
    const [x, w, up, heads, scale, frequencies] = [t(1, 2, 4), t(2, 6, 4), t(3, 2, 6), t(4, 2, 3, 8), t(5, 8), t(6, 4)];
    const positions = fromArray(on, [2], Int32Array.of(1, 2)).retain();
    const gated = captured(() => mul(silu(linear(x, w)), up));
    expect(fuse(gated.calls, [gated.keep.storage.id], all).map((c) => c.op)).toEqual(['linear_silu_mul']);
    const rotated = captured(() => rope(rmsNorm(heads, scale, { eps: 1e-6, offset: 0 }), positions, frequencies, { layout: 'half', amplitude: 1 }));
    expect(fuse(rotated.calls, [rotated.keep.storage.id], all).map((c) => c.op)).toEqual(['rms_norm_rope']);
  });
  it('leaves alone what has another reader, another shape, or no kernel', () => {
    const [g, u, row] = [t(1, 2, 4), t(2, 2, 4), t(3, 4)];
    const shared = captured(() => { const s = silu(g); return add(mul(s, u), s); });
    expect(fuse(shared.calls, [shared.keep.storage.id], all).map((c) => c.op)).toEqual(['silu', 'mul', 'add']);
    const broadcast = captured(() => mul(silu(g), row));
    expect(fuse(broadcast.calls, [broadcast.keep.storage.id], all)).toHaveLength(2);
    const plain = captured(() => mul(silu(g), u));
    expect(fuse(plain.calls, [plain.keep.storage.id], () => false)).toHaveLength(2);
  });
  it('refuses to move a norm before what its inputs need', () => {
    const [a, b, x] = [t(1, 2, 4), t(2, 2, 4), t(3, 4)];
    const { calls, keep } = captured(() => { const s = add(a, b); const w = silu(x); return rmsNorm(s, w, { eps: 1e-6, offset: 0 }); });
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['add', 'silu', 'rms_norm']);
  });
  it('shortens a real decode step', async () => {
    const model = await loadReference('qwen3');
    const { runner } = model.engine;
    const sequence = model.sequence();
    await model.step([{ sequence, tokens: [3] }]);
    await model.step([{ sequence, tokens: [4] }]);
    expect(runner.counts).toEqual({ steps: 2, replays: 2, recorded: 1 });
    await model.dispose();
  });
});
