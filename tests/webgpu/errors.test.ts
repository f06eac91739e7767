// What goes wrong on a GPU is reported where its result is read, with the op, the part and the
// backend; nothing else suffers, and everything can be freed and loaded again.

import { gpuKind, titled } from './support.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acquireGpu } from '../../src/backends/webgpu/gpu.js';
import { createBackend, WebGpuBackend } from '../../src/backends/webgpu/index.js';
import { apply, Device, empty, fromArray, kvAppend, pagedAttention, scope, Tensor, withPath } from '../../src/tensor/index.js';
import { loadReference, modelDirectory, noise } from '../support.js';

const f32 = (device: Device, ...shape: number[]) => fromArray(device, shape, noise(shape.reduce((a, b) => a * b, 1)));
const i32 = (device: Device, shape: number[], ...values: number[]) => fromArray(device, shape, Int32Array.from(values));

describe.skipIf(!gpuKind)(titled('failures'), () => {
  let backend: WebGpuBackend;
  let device: Device;
  beforeAll(async () => {
    backend = await createBackend();
    device = new Device(backend);
  });
  afterAll(() => {
    expect(device.liveBytes).toBe(0);
    expect(backend.counts).toMatchObject({ buffers: 0, usedBytes: 0 });
    backend.dispose();
  });

  /** Runs `body`, then reads each returned tensor: its numbers, or the message it rejects with. */
  async function outcomes(body: () => Tensor[]): Promise<(Float32Array | string)[]> {
    const tensors = scope(() => body().map((t) => t.retain()));
    const results = await Promise.all(tensors.map((t) => t.toFloat32().catch((error: Error) => error.message)));
    for (const tensor of tensors) tensor.release();
    return results;
  }

  it('an index beyond the table poisons the rows and what is computed from them, nothing else', async () => {
    const [bad, after, good] = await outcomes(() => {
      const table = f32(device, 5, 4);
      const rows = withPath('embed_tokens', () => apply('take_rows', [table, i32(device, [2], 1, 7)])[0]);
      return [rows, apply('silu', [rows])[0], apply('silu', [table])[0]];
    });
    expect(bad).toBe("take_rows at embed_tokens failed on webgpu: index 7 is beyond the table's last row");
    expect(after).toBe(bad);
    expect(good).toBeInstanceOf(Float32Array);
  });

  it('the next call on the same words is good again', async () => {
    const [again] = await outcomes(() => [apply('take_rows', [f32(device, 5, 4), i32(device, [2], 1, 4)])[0]]);
    expect(again).toBeInstanceOf(Float32Array);
  });

  it('a missing page poisons the attention that needs it, and the store of an append', async () => {
    const [seen, store, other] = await outcomes(() => {
      const [k, v] = [f32(device, 1, 1, 64, 4), f32(device, 1, 1, 64, 4)];
      const [q, positions, slots] = [f32(device, 1, 2, 4), i32(device, [1], 70), i32(device, [1], 0)];
      const table = i32(device, [1, 2], 0, -1);
      const out = withPath('layers.0.self_attn', () => pagedAttention(q, k, v, positions, slots, table, { scale: 1, valueDim: 4 }));
      kvAppend(v, f32(device, 1, 1, 4), positions, slots, table);
      return [out, v, k];
    });
    expect(seen).toBe('paged_attention at layers.0.self_attn failed on webgpu: no page for position 64');
    expect(store).toBe('kv_append failed on webgpu: no page for position 70');
    expect(other).toBeInstanceOf(Float32Array);
  });

  it('a missing page poisons the attention that would have put its token there', async () => {
    const [seen] = await outcomes(() => {
      const [k, v, q, row, weight] = [f32(device, 1, 1, 64, 8), f32(device, 1, 1, 64, 8), f32(device, 1, 1, 8), f32(device, 1, 1, 8), f32(device, 8)];
      const inputs = [q, row, weight, weight, i32(device, [1], 70), f32(device, 4), k, v, row, i32(device, [1], 0), i32(device, [1, 2], 0, -1)];
      return apply('rms_norm_rope_attention', inputs, { eps: 1e-6, offset: 0, layout: 'half', amplitude: 1, scale: 1, valueDim: 8 });
    });
    expect(seen).toBe('rms_norm_rope_attention failed on webgpu: no page for position 64');
  });

  it('a missing page poisons the attention of many tokens', async () => {
    const [seen] = await outcomes(() => {
      const [k, v] = [f32(device, 1, 1, 64, 4), f32(device, 1, 1, 64, 4)];
      const positions = i32(device, [40], ...Array.from({ length: 40 }, (_, i) => 40 + i));
      return [pagedAttention(f32(device, 40, 2, 4), k, v, positions, i32(device, [40], ...new Array<number>(40).fill(0)), i32(device, [1, 2], 0, -1), { scale: 1, valueDim: 4 })];
    });
    expect(seen).toBe('paged_attention failed on webgpu: no page for position 64');
  });

  it('a host write makes a poisoned buffer good', async () => {
    const [written] = await outcomes(() => {
      const rows = apply('take_rows', [f32(device, 2, 4), i32(device, [1], 2)])[0];
      backend.write(rows.storage.id, 0, new Uint8Array(16));
      return [rows];
    });
    expect(written).toEqual(new Float32Array(4));
  });

  it('a replayed plan reports the call of that replay, and recovers with its input', async () => {
    const table = f32(device, 3, 4).retain();
    const index = i32(device, [1], 0).retain();
    const { result: out, capture } = device.capture(() => scope(() => apply('silu', [withPath('embed_tokens', () => apply('take_rows', [table, index])[0])])[0]).retain());
    const plan = backend.record(capture.calls, [out.storage.id]);
    const replayed = (token: number) => {
      backend.write(index.storage.id, 0, new Uint8Array(Int32Array.of(token).buffer));
      plan.replay();
      return out.toFloat32().catch((error: Error) => error.message);
    };
    expect(await replayed(2)).toBeInstanceOf(Float32Array);
    expect(await replayed(3)).toBe("take_rows at embed_tokens failed on webgpu: index 3 is beyond the table's last row");
    expect(await replayed(1)).toBeInstanceOf(Float32Array);
    plan.dispose();
    for (const tensor of [table, index, out]) tensor.release();
  });

  it('reads that overlap in time each see their own state', async () => {
    const table = f32(device, 3, 4).retain();
    const rows = (index: number) => scope(() => apply('take_rows', [table, i32(device, [1], index)])[0].retain());
    const tensors = [rows(0), rows(9), rows(1)];
    const results = await Promise.allSettled(tensors.map((t) => t.toFloat32()));
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    for (const tensor of [table, ...tensors]) tensor.release();
  });

  it('a buffer that the GPU cannot hold poisons what would be written to it, by name', async () => {
    const bytes = backend.gpu.device.limits.maxBufferSize;
    const [huge, small] = await outcomes(() => {
      const x = f32(device, 4);
      const out = empty(device, { shape: [Math.floor(bytes / 4) + 4], dtype: 'f32' });
      const operand = (t: Tensor) => ({ buffer: t.storage.id, spec: t.spec });
      device.append({ op: 'scale', inputs: [operand(x)], outputs: [{ buffer: out.storage.id, spec: x.spec }], attrs: { factor: 2 }, path: 'layers.2' });
      return [new Tensor(x.spec, out.storage), x];
    });
    expect(huge).toMatch(/^scale at layers\.2 failed on webgpu: the GPU has no room for a buffer of \d+ bytes/);
    expect(small).toBeInstanceOf(Float32Array);
  });

  it('a tensor that no kernel can see whole is refused by name', async () => {
    const [out] = await outcomes(() => {
      const limit = backend.gpu.device.limits.maxStorageBufferBindingSize;
      const out = empty(device, { shape: [4], dtype: 'f32' });
      const x = empty(device, { shape: [limit / 4 + 4], dtype: 'f32' });
      device.append({ op: 'slice', inputs: [{ buffer: x.storage.id, spec: x.spec }], outputs: [{ buffer: out.storage.id, spec: out.spec }], attrs: { start: 0, length: 4 }, path: 'head' });
      return [out];
    });
    expect(out).toMatch(/^slice at head failed on webgpu: (a tensor \[\d+\] f32 takes|the GPU has no room)/);
  });

  it('an op without a kernel fails by name at once', () => {
    scope(() => {
      expect(() => apply('softmax', [i32(device, [2], 0, 1)])).toThrow('softmax (i32) has no kernel on webgpu and no composition');
    });
  });

  it('weights that cannot fit are refused with figures', async () => {
    await expect(backend.reserve(2 ** 50)).rejects.toThrow(/^the weights take 1125899906842624 bytes and the GPU \(.+\) had room for about \d+/);
    await expect(backend.reserve(1000)).resolves.toBeUndefined();
  });

  // Where a driver in software keeps its memory in this process.
  it.runIf(gpuKind === 'SwiftShader' && process.platform === 'linux')('what was tried for size is given back at once', async () => {
    const resident = () => process.memoryUsage.rss() / 2 ** 20;
    await backend.reserve(2 ** 20);
    const before = resident();
    await backend.reserve(400 * 2 ** 20);
    expect(resident() - before).toBeLessThan(200);
  });

  it('writes that begin and end within a word change only their own bytes', async () => {
    const tensor = i32(device, [4], 0, 0, 0, 0).retain();
    const expected = new Uint8Array(16);
    for (const [offset, length] of [[3, 6], [1, 1], [9, 3], [12, 4], [5, 2], [14, 2]]) {
      const bytes = Uint8Array.from({ length }, (_, i) => 16 * offset + i + 1);
      expected.set(bytes, offset);
      backend.write(tensor.storage.id, offset, bytes);
    }
    expect(await backend.read(tensor.storage.id, 0, 16)).toEqual(expected);
    expect(await backend.read(tensor.storage.id, 5, 6)).toEqual(expected.slice(5, 11));
    expect(() => backend.write(tensor.storage.id, 10, new Uint8Array(7))).toThrow('exceeds a buffer of 16');
    tensor.release();
  });

  it('a write after an append is seen by later calls only', async () => {
    const results = await outcomes(() => {
      const x = fromArray(device, [1], Float32Array.of(1));
      const before = apply('scale', [x], { factor: 10 })[0];
      backend.write(x.storage.id, 0, new Uint8Array(Float32Array.of(2).buffer));
      return [before, apply('scale', [x], { factor: 10 })[0]];
    });
    expect(results.map((r) => (r as Float32Array)[0])).toEqual([10, 20]);
  });

  it('more calls than the arena of constants holds keep their own constants', async () => {
    const results = await outcomes(() => Array.from({ length: 600 }, (_, i) => apply('scale', [fromArray(device, [1], Float32Array.of(1))], { factor: i })[0]));
    expect(results.map((r) => (r as Float32Array)[0])).toEqual(Array.from({ length: 600 }, (_, i) => i));
  });
});

describe.skipIf(!gpuKind)(titled('a lost device'), () => {
  const lost = 'the GPU device was lost (destroyed';

  it('rejects every read with one clear error; all can be freed, and a new backend works', async () => {
    const backend = await createBackend();
    const device = new Device(backend);
    const x = f32(device, 8).retain();
    const pending = scope(() => apply('silu', [x])[0].retain());
    const reading = pending.toFloat32();
    backend.gpu.device.destroy();
    await Promise.allSettled([reading]);
    await expect(pending.toFloat32()).rejects.toThrow(lost);
    const after = scope(() => apply('silu', [x])[0].retain());
    await expect(after.toFloat32()).rejects.toThrow('dispose the model and load it again');
    await expect(backend.reserve(1)).rejects.toThrow(lost);
    for (const tensor of [x, pending, after]) tensor.release();
    expect(device.liveBytes).toBe(0);
    backend.dispose();
    const next = await createBackend();
    const fresh = new Device(next);
    const y = scope(() => apply('scale', [fromArray(fresh, [1], Float32Array.of(3))], { factor: 2 })[0].retain());
    expect([...await y.toFloat32()]).toEqual([6]);
    y.release();
    next.dispose();
  });

  it.skipIf(!modelDirectory('qwen3'))('ends a generation, and the model loads again', async () => {
    const run = async (loseAfter: number) => {
      const model = await loadReference('qwen3', { backend: 'webgpu' });
      const tokens: number[] = [];
      try {
        for await (const { token } of model.generate([1, 2, 3], { maxTokens: 4, temperature: 0, ignoreEos: true })) {
          tokens.push(token);
          if (tokens.length === loseAfter) (model.engine.device.backend as WebGpuBackend).gpu.device.destroy();
        }
      } finally {
        await model.dispose();
        expect(model.engine.device.liveBytes).toBe(0);
      }
      return tokens;
    };
    await expect(run(2)).rejects.toThrow(lost);
    expect(await run(9)).toHaveLength(4);
  });
});

describe.skipIf(!gpuKind)(titled('sharing'), () => {
  it('backends of a process share a device, and the last to go closes it', async () => {
    const [a, b] = await Promise.all([createBackend(), createBackend()]);
    expect(a.gpu).toBe(b.gpu);
    a.dispose();
    a.dispose();
    expect(b.gpu.lost).toBeUndefined();
    const { gpu, release } = await acquireGpu();
    expect(gpu).toBe(b.gpu);
    b.dispose();
    const x = new Device(new WebGpuBackend(gpu));
    expect([...await scope(() => fromArray(x, [1], Float32Array.of(5)).retain()).toFloat32()]).toEqual([5]);
    x.backend.dispose();
    release();
    await gpu.device.lost;
    expect((await createBackend().then((c) => { c.dispose(); return c; })).gpu).not.toBe(gpu);
  });
});
