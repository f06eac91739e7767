// Fused ops equal their composition, and the peephole rules change nothing but the list's length.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { add, apply, combine, Device, expertLinear, fromArray, fuse, getOp, kvAppend, linear, mul, normalizeSum, pagedAttention, rmsNorm, rope, scope, silu, softmax, topK } from '../../src/tensor/index.js';
import type { Attrs, Call, Tensor } from '../../src/tensor/index.js';
import { loadReference, noise, relativeError } from '../support.js';

const on = new Device(new ReferenceBackend());
const t = (seed: number, ...shape: number[]) => fromArray(on, shape, noise(shape.reduce((a, b) => a * b, 1), seed)).retain();

/** Of two tokens, two of three experts. */
const choices = fromArray(on, [2, 2], Int32Array.of(2, 0, 1, 2)).retain();

describe('fused ops', () => {
  const cases: [string, Tensor[], Attrs][] = [
    ['add_rms_norm', [t(1, 3, 8), t(2, 3, 8), t(3, 8)], { eps: 1e-6, offset: 0 }],
    ['add_rms_norm', [t(1, 2, 33), t(2, 2, 33), t(3, 33)], { eps: 1e-5, offset: 1 }],
    ['silu_mul', [t(4, 3, 9), t(5, 3, 9)], {}],
    ['linear_group', [t(4, 3, 6), t(5, 9, 6), t(6, 4, 6), t(7, 5, 6)], {}],
    ['linear_gated', [t(4, 3, 6), t(5, 9, 6), t(6, 9, 6)], {}],
    ['rms_norm_rope_pair', [t(4, 2, 3, 8), t(5, 2, 1, 8), t(6, 8), t(7, 8), fromArray(on, [2], Int32Array.of(5, 70)).retain(), t(8, 4)], { eps: 1e-6, offset: 1, layout: 'half', amplitude: 1.2 }],
    ['linear_silu_mul', [t(4, 3, 6), t(5, 9, 6), t(6, 3, 9)], {}],
    ['linear_add', [t(4, 3, 6), t(5, 9, 6), t(6, 3, 9)], {}],
    ['norm_linear', [t(4, 3, 6), t(5, 6), t(6, 9, 6)], { eps: 1e-5, offset: 1 }],
    ['norm_linear_group', [t(4, 3, 6), t(5, 6), t(6, 9, 6), t(7, 4, 6), t(8, 5, 6)], { eps: 1e-5, offset: 0 }],
    ['norm_linear_gated', [t(4, 3, 6), t(5, 6), t(6, 9, 6), t(7, 9, 6)], { eps: 1e-5, offset: 0 }],
    ['expert_linear_gated', [t(4, 2, 6), t(5, 3, 9, 6), t(6, 3, 9, 6), choices], {}],
    ['norm_expert_linear_gated', [t(4, 2, 6), t(5, 6), t(6, 3, 9, 6), t(7, 3, 9, 6), choices], { eps: 1e-5, offset: 0 }],
    ['expert_combine', [t(4, 2, 2, 6), t(5, 3, 9, 6), choices, t(6, 2, 2)], {}],
    ['expert_combine', [t(4, 2, 2, 6), t(5, 3, 9, 6), choices, t(6, 2, 2), t(7, 2, 9)], {}],
    ['softmax_top_k', [t(4, 3, 6)], { k: 2, normalize: true, epsilon: 1e-3 }],
    ['softmax_top_k', [t(4, 3, 6)], { k: 2, normalize: false, epsilon: 0 }],
    ...['half', 'interleaved'].map((layout): [string, Tensor[], Attrs] =>
      ['rms_norm_rope', [t(4, 3, 2, 10), t(5, 10), fromArray(on, [3], Int32Array.of(0, 5, 70)).retain(), t(6, 4)], { eps: 1e-6, offset: 1, layout, amplitude: 1.2 }]),
  ];
  for (const [op, inputs, attrs] of cases) it(`${op} equals its composition`, async () => {
    const fused = apply(op, inputs, attrs);
    const composed = getOp(op).compose!(inputs, attrs);
    expect(fused.length).toBe(composed.length);
    const numbers = async (tensor: Tensor) => (tensor.dtype === 'i32' ? Float32Array.from(await tensor.toInt32()) : tensor.toFloat32());
    for (const [i, out] of fused.entries()) expect(relativeError(await numbers(out), await numbers(composed[i]))).toBeLessThan(1e-6);
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
  it('joins both products of a gated feed-forward', () => {
    const [x, w, v] = [t(1, 2, 4), t(2, 6, 4), t(3, 6, 4)];
    const { calls, keep } = captured(() => mul(silu(linear(x, w)), linear(x, v)));
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['linear_gated']);
  });
  it('puts three products of the same numbers side by side, and no fewer', () => {
    const [x, other, w] = [t(1, 2, 4), t(2, 2, 4), t(3, 6, 4)];
    const { calls, keep } = captured(() => { const a = linear(x, w); const b = silu(linear(x, w)); return mul(mul(a, b), linear(x, w)); });
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['linear_group', 'silu', 'mul', 'mul']);
    const two = captured(() => mul(mul(linear(x, w), linear(x, w)), linear(other, w)));
    expect(fuse(two.calls, [two.keep.storage.id], all).map((c) => c.op)).toEqual(['linear', 'linear', 'mul', 'linear', 'mul']);
  });
  it('puts a norm into all products that read it, or into none', () => {
    const [x, scale, w, v] = [t(1, 2, 4), t(2, 4), t(3, 6, 4), t(4, 6, 4)];
    const normed = () => rmsNorm(x, scale, { eps: 1e-6, offset: 0 });
    const both = captured(() => { const n = normed(); return mul(linear(n, w), linear(n, v)); });
    expect(fuse(both.calls, [both.keep.storage.id], all).map((c) => c.op)).toEqual(['norm_linear', 'norm_linear', 'mul']);
    const other = captured(() => { const n = normed(); linear(n, w); return silu(n); });
    expect(fuse(other.calls, [other.keep.storage.id], all).map((c) => c.op)).toEqual(['rms_norm', 'linear', 'silu']);
    const seen = captured(normed);
    expect(fuse(seen.calls, [seen.keep.storage.id], all).map((c) => c.op)).toEqual(['rms_norm']);
  });
  it('joins a product with what is added to it, on either side', () => {
    const [x, w, more] = [t(1, 2, 4), t(2, 6, 4), t(3, 2, 6)];
    for (const sum of [() => add(more, linear(x, w)), () => add(linear(x, w), more)]) {
      const { calls, keep } = captured(sum);
      const fused = fuse(calls, [keep.storage.id], all);
      expect(fused.map((c) => c.op)).toEqual(['linear_add']);
      expect(fused[0].inputs.map((i) => i.buffer)).toEqual([x, w, more].map((tensor) => tensor.storage.id));
    }
  });
  it("joins the experts' products, and the router's choice", () => {
    const [x, gate, up, down, more] = [t(1, 2, 4), t(2, 3, 6, 4), t(3, 3, 6, 4), t(4, 3, 4, 6), t(5, 2, 4)];
    const { calls, keep } = captured(() => {
      const { values, indices } = topK(softmax(linear(x, t(6, 3, 4))), { k: 2 });
      const weights = normalizeSum(values, 0);
      const hidden = mul(silu(expertLinear(x, gate, indices)), expertLinear(x, up, indices));
      return add(more, combine(expertLinear(hidden, down, indices), weights));
    });
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['linear', 'softmax_top_k', 'expert_linear_gated', 'expert_combine']);
  });
  it("joins all that one token's attention needs of its heads", () => {
    const ints = (shape: number[], ...values: number[]) => fromArray(on, shape, Int32Array.from(values)).retain();
    const [k, v, q, row, scale, frequencies] = [t(1, 1, 1, 64, 8), t(2, 1, 1, 64, 8), t(3, 1, 2, 8), t(4, 1, 1, 8), t(5, 8), t(6, 4)];
    const [positions, slots, table] = [ints([1], 3), ints([1], 0), ints([1, 1], 0)];
    const attended = (from = positions) => captured(() => {
      const [queries, keys] = [q, row].map((heads) => rope(rmsNorm(heads, scale, { eps: 1e-6, offset: 0 }), positions, frequencies, { layout: 'half', amplitude: 1 }));
      kvAppend(k, keys, positions, slots, table);
      kvAppend(v, row, positions, slots, table);
      return pagedAttention(queries, k, v, from, slots, table, { scale: 1, valueDim: 8 });
    });
    const { calls, keep } = attended();
    expect(fuse(calls, [keep.storage.id], all).map((c) => c.op)).toEqual(['rms_norm_rope_attention']);
    const elsewhere = attended(ints([1], 2));
    expect(fuse(elsewhere.calls, [elsewhere.keep.storage.id], all).map((c) => c.op)).toEqual(['rms_norm_rope_append', 'paged_attention']);
  });
  it('moves no append over a call that reads its store', () => {
    const ints = (...values: number[]) => fromArray(on, [values.length], Int32Array.from(values)).retain();
    const store = () => t(1, 1, 1, 64, 4);
    const [k, v, rows, positions, slots, table] = [store(), store(), t(2, 1, 1, 4), ints(0), ints(0), fromArray(on, [1, 1], Int32Array.of(0)).retain()];
    const place = [positions, slots, table] as const;
    const beside = captured(() => { kvAppend(k, rows, ...place); const s = silu(rows); kvAppend(v, rows, ...place); return s; });
    expect(fuse(beside.calls, [beside.keep.storage.id], all).map((c) => c.op)).toEqual(['kv_append_pair', 'silu']);
    const read = captured(() => { kvAppend(k, rows, ...place); const a = pagedAttention(rows, k, v, ...place, { scale: 1, valueDim: 4 }); kvAppend(v, rows, ...place); return a; });
    expect(fuse(read.calls, [read.keep.storage.id], all).map((c) => c.op)).toEqual(['kv_append', 'paged_attention', 'kv_append']);
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
