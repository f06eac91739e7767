// What goes wrong on the wasm backend is said at the read that needs it, with op, part and
// backend; what does not depend on it stays sound; a thread that stops does not hang the rest; and
// nothing is left when a backend goes.

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { RECORD_BYTES, WORD_BARRIER } from '../../src/backends/wasm/abi.js';
import type { WasmBackend } from '../../src/backends/wasm/index.js';
import { BLOCKS, Device, fromArray, fromBytes, kvAppend, linear, pagedAttention, scale, scope, takeRows, expertLinear, gather, add } from '../../src/tensor/index.js';
import type { BlockType, Tensor } from '../../src/tensor/index.js';
import { withPath } from '../../src/tensor/path.js';
import { noise } from '../support.js';
import { bytesOf, stored } from './runs.js';
import { wasm } from './support.js';

describe('failures', () => {
  let backend: WasmBackend;
  let device: Device;
  beforeAll(async () => { backend = await wasm({ threads: 2 }); device = new Device(backend); });
  afterAll(() => backend.dispose());

  const ints = (...values: number[]) => fromArray(device, [values.length], Int32Array.from(values));
  const floats = (...shape: number[]) => fromArray(device, shape, noise(shape.reduce((a, b) => a * b)));

  it('a bad index poisons what is computed from it, and only that', async () => {
    const table = floats(4, 8);
    const bad = withPath('layers.3.embed', () => takeRows(table, ints(1, 7)));
    const spoilt = scale(bad, 2);
    const sound = scale(takeRows(table, ints(3)), 2);
    await expect(spoilt.toFloat32()).rejects.toThrow('take_rows at layers.3.embed failed on wasm: index 7 of 4');
    await expect(bad.toFloat32()).rejects.toThrow('index 7 of 4');
    expect((await sound.toFloat32())[0]).toBeCloseTo((await table.toFloat32())[24] * 2, 6);
  });

  it('each of two failures in one list has its own message', async () => {
    const [first, second] = [takeRows(floats(2, 4), ints(5)), gather(floats(1, 3), fromArray(device, [1, 1], Int32Array.of(9)))];
    await expect(first.toFloat32()).rejects.toThrow('index 5 of 2');
    await expect(second.toFloat32()).rejects.toThrow('index 9 of 3');
  });

  it('an expert that is not there', async () => {
    const y = expertLinear(floats(1, 4), floats(3, 2, 4), fromArray(device, [1, 2], Int32Array.of(1, 3)));
    await expect(y.toFloat32()).rejects.toThrow('expert_linear failed on wasm: expert 3 of 3');
  });

  it('a missing page poisons the store that was to be written', async () => {
    const store = floats(2, 1, 64, 4);
    const table = fromArray(device, [1, 2], Int32Array.of(0, -1));
    kvAppend(store, floats(1, 1, 4), ints(70), ints(0), table);
    await expect(store.toFloat32()).rejects.toThrow('kv_append failed on wasm: no page for position 70');
  });

  it('attention over a missing page or an unknown sequence', async () => {
    const table = fromArray(device, [1, 2], Int32Array.of(0, -1));
    const at = (position: number, slot: number) => pagedAttention(floats(1, 2, 4), floats(2, 1, 64, 4), floats(2, 1, 64, 4), ints(position), ints(slot), table, { scale: 1, valueDim: 4 });
    await expect(at(66, 0).toFloat32()).rejects.toThrow('no page for position 64');
    await expect(at(3, 1).toFloat32()).rejects.toThrow('slot 1 of 1 sequences');
    expect(await at(3, 0).toFloat32()).toHaveLength(8);
  });

  it('a write makes a poisoned buffer sound again', async () => {
    const bad = takeRows(floats(2, 4), ints(2));
    await expect(bad.toFloat32()).rejects.toThrow('index 2 of 2');
    backend.write(bad.storage.id, 0, new Uint8Array(16));
    expect([...await bad.toFloat32()]).toEqual([0, 0, 0, 0]);
  });

  it('a plan that failed once works when its inputs are right again', async () => {
    const [table, index] = [floats(4, 4), ints(9)];
    const { result: out, capture } = device.capture(() => scope(() => scale(takeRows(table, index), 3)).retain());
    const plan = backend.record(capture.calls, [out.storage.id]);
    plan.replay();
    await expect(out.toFloat32()).rejects.toThrow('take_rows failed on wasm: index 9 of 4');
    backend.write(index.storage.id, 0, new Uint8Array(Int32Array.of(2).buffer));
    plan.replay();
    expect((await out.toFloat32())[1]).toBeCloseTo((await table.toFloat32())[9] * 3, 6);
    plan.dispose();
    expect(() => plan.replay()).toThrow('the plan was disposed');
  });

  it('names figures when memory cannot suffice', async () => {
    // Something lies in memory, with 32-bit addresses: there it stays.
    const held = backend.alloc(64 * 2 ** 20);
    backend.write(held, 0, new Uint8Array(1));
    await expect(backend.reserve(4095 * 2 ** 20)).rejects.toThrow(/MiB more cannot be had: \d+ MiB are in use and a model may take 4096 MiB/);
    await expect(backend.reserve(17 * 2 ** 30)).rejects.toThrow(/17408 MiB cannot be had: a model may take (16384 MiB|4096 MiB; with 64-bit addresses, which need Node 24 or newer .*, 16384 MiB)$/);
    backend.free(held);
    expect(await floats(3).toFloat32()).toHaveLength(3);
  });

  it('no memory for the records of a call, or for those of a plan, spoils what they touch until it is written again', async () => {
    const [full, fullDevice] = await wasm({ threads: 2 }).then((made) => [made, new Device(made)] as const);
    const place = (...numbers: number[]) => fromArray(fullDevice, [numbers.length], Int32Array.from(numbers));
    const [store, rows, table] = [fromArray(fullDevice, [1, 1, 64, 4], new Float32Array(256)), fromArray(fullDevice, [1, 1, 4], noise(4)), fromArray(fullDevice, [1, 1], Int32Array.of(0))];
    const [position, slot] = [place(3), place(0)];
    const { capture } = fullDevice.capture(() => kvAppend(store, rows, position, slot, table));
    const taken = exhaust(full);
    const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => { throw new RangeError('refused'); });
    expect(() => full.record(capture.calls, [])).toThrow('MiB more cannot be had');
    kvAppend(store, rows, position, slot, table);
    await expect(store.toFloat32()).rejects.toThrow(/^wasm: \d+ MiB more cannot be had/);
    await expect(store.toFloat32()).rejects.toThrow('cannot be had');
    grow.mockRestore();
    for (const buffer of taken) full.free(buffer);
    for (const [tensor, bytes] of [[store, new Uint8Array(1024)], [rows, bytesOf(noise(4))], [position, bytesOf(Int32Array.of(3))], [slot, new Uint8Array(4)], [table, new Uint8Array(4)]] as const) full.write(tensor.storage.id, 0, bytes);
    full.record(capture.calls, []).replay();
    expect((await store.toFloat32()).slice(12, 16)).toEqual(noise(4));
    full.dispose();
  });

  it('refuses buffers that are gone', () => {
    const gone = backend.alloc(16);
    backend.free(gone);
    expect(() => backend.free(gone)).toThrow(`buffer ${gone} does not exist or was freed`);
    expect(() => backend.write(backend.alloc(4), 2, new Uint8Array(4))).toThrow('exceeds a buffer of 4');
  });
});

describe('order', () => {
  it('writes, calls and frees take effect in the order they were made', async () => {
    const backend = await wasm({ threads: 2 });
    const device = new Device(backend);
    const x = fromArray(device, [4096], new Float32Array(4096).fill(1)).retain();
    const seen: Tensor[] = [];
    for (let i = 1; i <= 40; i++) {
      seen.push(scope(() => add(scale(x, 2), x)).retain());
      backend.write(x.storage.id, 0, new Uint8Array(new Float32Array(4096).fill(i + 1).buffer));
      if (i % 7 === 0) backend.flush();
    }
    for (const [i, y] of seen.entries()) {
      expect(new Set(await y.toFloat32())).toEqual(new Set([3 * (i + 1)]));
      y.release();
    }
    x.release();
    expect(device.liveBytes).toBe(0);
    backend.dispose();
  });

  for (const dtype of Object.keys(BLOCKS) as BlockType[]) it(`a ${dtype} matrix reads back as it was written, also after products and further writes`, async () => {
    const backend = await wasm({ threads: 2 });
    const device = new Device(backend);
    const { spec, bytes } = stored({ shape: [7, 256], dtype }, 3);
    const w = fromBytes(device, spec, bytes);
    // Whole numbers up to 127 in every block of 32: no kernel has to round them.
    const x = fromArray(device, [1, 256], Float32Array.from({ length: 256 }, (_, i) => (i % 32 ? (i * 37) % 127 - 63 : 127)));
    const before = await linear(x, w).toFloat32();
    expect(Buffer.compare(await backend.read(w.storage.id, 0, bytes.length), bytes)).toBe(0);
    expect(Buffer.compare(await backend.read(w.storage.id, 70, 40), bytes.subarray(70, 110))).toBe(0);
    // Row 5 becomes row 0.
    const row = bytes.length / 7;
    backend.write(w.storage.id, 5 * row, bytes.subarray(0, row));
    const after = await linear(x, w).toFloat32();
    // A row behind the last four is multiplied by other code.
    expect(Math.abs(after[5] - before[0])).toBeLessThan(1e-4 * Math.max(...before.map(Math.abs)));
    expect([...after.slice(0, 5)]).toEqual([...before.slice(0, 5)]);
    backend.dispose();
  });
});

describe('threads', () => {
  it('one that traps ends the run for all, poisons it, and the next run works', async () => {
    const backend = await wasm({ threads: 3 });
    const device = new Device(backend);
    const x = fromArray(device, [1, 256], noise(256));
    const { result: y, capture } = device.capture(() => scope(() => scale(scale(x, 2), 2)).retain());
    const plan = backend.record(capture.calls, [y.storage.id]);
    // An impossible kernel in the second record, reached by thread 0 alone: the others wait at a barrier.
    const { heap, job } = inside(backend, plan);
    const second = (job.records + RECORD_BYTES) / 4;
    const { words } = heap;
    const kernel = words[second];
    words[second + WORD_BARRIER] = 1;
    words[second] = 999;
    plan.replay();
    await expect(y.toFloat32()).rejects.toThrow(/failed on wasm: a thread stopped: unreachable/);
    words[second] = kernel;
    plan.replay();
    expect((await y.toFloat32())[7]).toBeCloseTo(noise(256)[7] * 4, 6);
    plan.dispose();
    backend.dispose();
  });

  it('let the process go when the last backend is disposed, and also before when idle', async () => {
    const busy = () => process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort/.test(name)).length;
    // Threads of the tests before end in their own time.
    await vi.waitFor(() => expect(busy()).toBe(0));
    const [one, two] = [await wasm({ threads: 2 }), await wasm({ threads: 3 })];
    const device = new Device(two);
    const y = scale(fromArray(device, [4], noise(4)), 2);
    await y.toFloat32();
    expect(busy()).toBe(0);
    one.dispose();
    expect(await scale(y, 2).toFloat32()).toHaveLength(4);
    two.dispose();
    two.dispose();
    expect(() => two.alloc(4)).toThrow('the wasm backend was disposed');
    await vi.waitFor(() => expect(busy()).toBe(0));
  });

  it('a read that waits when the backend goes rejects', async () => {
    const backend = await wasm({ threads: 2 });
    const device = new Device(backend);
    const y = scale(fromArray(device, [1 << 20], noise(1 << 20)), 2);
    const reading = y.toFloat32();
    backend.dispose();
    await expect(reading).rejects.toThrow(/disposed/);
  });

  it('asks for a sensible number', async () => {
    await expect(wasm({ threads: 0 })).rejects.toThrow('threads must be a whole number from 1 to 64, got 0');
  });
});

/** Takes all memory that is free. */
function exhaust(backend: WasmBackend): number[] {
  const taken: number[] = [];
  const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => { throw new RangeError('refused'); });
  for (let size = 2 ** 24; size >= 64;) {
    const buffer = backend.alloc(size);
    try {
      backend.write(buffer, size - 1, new Uint8Array(1));
      taken.push(buffer);
    } catch {
      backend.free(buffer);
      size /= 2;
    }
  }
  grow.mockRestore();
  return taken;
}

/** The memory and the records of a plan: what only a test may touch. */
function inside(backend: WasmBackend, plan: unknown): { heap: { words: Int32Array }; job: { records: number } } {
  const { heap } = backend as unknown as { heap: { words: Int32Array } };
  return { heap, job: (plan as { job: { records: number } }).job };
}
