// The tape differentiates every family's definition as it stands: losses and gradient norms of the
// reference for all of them, and every gradient where the reference recorded it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lossAndGradients } from '../../src/training/index.js';
import { trainingBackends } from '../webgpu/support.js';
import { loadReference, modelDirectory, readArrays, relativeError, shared, titled } from '../support.js';
import { existsSync } from 'node:fs';

const names = ['gpt2', 'llama3', 'olmo2', 'olmo3', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'kimi_k2'];

for (const name of names) {
  describe.skipIf(!modelDirectory(name))(titled(name), () => {
    for (const backend of trainingBackends(name === 'qwen3_moe')) it(`has the reference loss and gradients on ${backend}`, async () => {
      const directory = modelDirectory(name)!;
      const recorded = JSON.parse(readFileSync(join(directory, 'reference.json'), 'utf8')) as { loss: number; grad_norms: Record<string, number> };
      const ids = (await readArrays(join(directory, 'reference.safetensors'))).get('input_ids')!;
      const model = await loadReference(name, { backend });
      const before = model.engine.device.liveBytes;
      const { loss, gradients } = await lossAndGradients(model, [[...ids.data.slice(0, 40)], [...ids.data.slice(40)]]);
      expect(model.engine.device.liveBytes).toBe(before);
      expect(loss).toBeCloseTo(recorded.loss, 4);
      let compared = 0;
      for (const [key, norm] of Object.entries(recorded.grad_norms)) {
        const gradient = fused(gradients, key);
        if (!gradient) continue;
        compared++;
        expect(Math.hypot(...blocks(gradient)) / norm, key).toBeCloseTo(1, 3);
      }
      expect(compared).toBe(Object.keys(recorded.grad_norms).length);
      const file = join(shared, 'reference/models', name, 'grads.safetensors');
      if (existsSync(file)) for (const [key, { data }] of await readArrays(file)) expect(relativeError(fused(gradients, key)!, data), key).toBeLessThan(1e-4);
      await model.dispose();
    });
  });
}

/**
 * A gradient under the reference implementation's name: it fuses experts that the checkpoint keeps
 * apart (gate_up_proj [E, 2I, h] = gate above up, down_proj [E, h, I]).
 */
function fused(gradients: ReadonlyMap<string, Float32Array>, key: string): Float32Array | undefined {
  const plain = gradients.get(key);
  if (plain) return plain;
  const match = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(key);
  if (!match) return undefined;
  const parts: Float32Array[] = [];
  for (let e = 0; gradients.has(`${match[1]}.${e}.down_proj.weight`); e++) {
    for (const part of match[2] === 'down_proj' ? ['down_proj'] : ['gate_proj', 'up_proj']) parts.push(gradients.get(`${match[1]}.${e}.${part}.weight`)!);
  }
  const out = new Float32Array(parts.reduce((sum, p) => sum + p.length, 0));
  parts.reduce((at, p) => { out.set(p, at); return at + p.length; }, 0);
  return out;
}

/** Norms of slices, so that `Math.hypot` gets few arguments. */
function blocks(values: Float32Array): number[] {
  const norms: number[] = [];
  for (let i = 0; i < values.length; i += 1000) norms.push(Math.hypot(...values.subarray(i, i + 1000)));
  return norms;
}
