// What a step computes on its way takes room for one layer, however many there are.

import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { syntheticEngine } from '../../src/engine/synthetic.js';
import { byteLength, Device, fromArray, geluTanh, scope, sigmoid, silu } from '../../src/tensor/index.js';
import type { BufferId, Call } from '../../src/tensor/index.js';
import { tinyConfig } from '../training/support.js';

/** Knows the most bytes that were backed at a time: a buffer is from its first use on. */
class Metered extends ReferenceBackend {
  bytes = 0;
  most = 0;
  private readonly backed = new Map<BufferId, number>();

  constructor(readonly fusesCalls: boolean) { super(); }

  override append(call: Call): void {
    for (const { buffer, spec } of call.outputs) {
      if (this.backed.has(buffer)) continue;
      this.backed.set(buffer, byteLength(spec));
      this.most = Math.max(this.most, this.bytes += byteLength(spec));
    }
    super.append(call);
  }

  override free(buffer: BufferId): void {
    this.bytes -= this.backed.get(buffer) ?? 0;
    this.backed.delete(buffer);
    super.free(buffer);
  }
}

async function peakOfStep(layers: number, fuses: boolean): Promise<number> {
  const backend = new Metered(fuses);
  const engine = await syntheticEngine({ ...tinyConfig, num_hidden_layers: layers }, backend, 'f32');
  const sequence = engine.runner.sequence();
  await engine.runner.step([{ sequence, tokens: Array.from({ length: 40 }, (_, i) => i), logits: 'last' }]);
  sequence.dispose();
  engine.dispose();
  expect(backend.bytes).toBe(0);
  return backend.most;
}

it.each([{ fuses: false, title: 'call by call' }, { fuses: true, title: 'with calls fused' }])('$title', async ({ fuses }) => {
  expect(await peakOfStep(7, fuses)).toBe(await peakOfStep(2, fuses));
});

it('what dies with calls that are held back is freed behind the last of them that uses it', () => {
  const log: string[] = [];
  class Logged extends ReferenceBackend {
    readonly fusesCalls = true;
    override append(call: Call): void { log.push(call.op); super.append(call); }
    override free(buffer: BufferId): void { log.push('free'); super.free(buffer); }
  }
  const device = new Device(new Logged());
  const x = fromArray(device, [2], Float32Array.of(1, 2)).retain();
  const y = device.fused(() => scope(() => {
    const a = silu(x);
    const b = sigmoid(a);
    return geluTanh(b).retain();
  }));
  expect(log).toEqual(['silu', 'sigmoid', 'free', 'gelu_tanh', 'free']);
  for (const tensor of [x, y]) tensor.release();
  expect(device.liveBytes).toBe(0);
});
