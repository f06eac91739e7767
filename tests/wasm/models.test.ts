// Every reference model on the wasm backend: the reference's logits and greedy tokens, bit for bit
// the same on one, two and four threads, whether small ops are repeated by each thread or divided.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/index.js';
import { loadModel } from '../../src/index.js';
import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { modelDirectory, readArrays, relativeError, titled } from '../support.js';
import { sameBits, stepLogits } from './steps.js';
import { wasm } from './support.js';

const NAMES = [
  'gpt2', 'llama3', 'olmo2', 'olmo3', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v2_lite', 'kimi_k2',
  'deepseek_v3_fp8', 'gemma3_multimodal', 'mistral3_multimodal', 'llama4_multimodal',
];
const PROMPT = 11;
const THREADS = [1, 2, 4];

beforeAll(() => buildWasm(cacheFolder));

for (const name of NAMES) {
  describe.skipIf(!modelDirectory(name))(titled(name), () => {
    it('gives the reference logits and greedy tokens on any number of threads', async () => {
      const reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
      const [ids, logits, greedy] = ['input_ids', 'logits', 'greedy'].map((key) => reference.get(key)!);
      const [, tokens, vocab] = logits.shape;
      const prompt = [...ids.data.slice(0, tokens)];
      let first: Float32Array | undefined;
      for (const threads of THREADS) {
        const model = await loadModel(modelDirectory(name)!, { backend: 'wasm', threads });
        const { data } = await model.logits(prompt);
        if (!first) expect(relativeError(data, logits.data.slice(0, tokens * vocab))).toBeLessThan(1e-4);
        expect(sameBits(data, first ??= data)).toBe(true);
        if (greedy) expect(await continued(model, prompt.slice(0, PROMPT), greedy.data.length)).toEqual([...greedy.data]);
        await model.dispose();
        expect(model.engine.device.liveBytes).toBe(0);
      }
    });

    it('replays a step with the same result however it is divided', async () => {
      const steps: Float32Array[][] = [];
      for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, repeatLimit: 0 }, { threads: 4, repeatLimit: 0 }]) steps.push(await decode(name, options));
      for (const other of steps.slice(1)) other.forEach((logits, i) => expect(sameBits(logits, steps[0][i])).toBe(true));
    });
  });
}

async function continued(model: Model, prompt: number[], count: number): Promise<number[]> {
  const out: number[] = [];
  for await (const { token } of model.generate(prompt, { maxTokens: count, ignoreEos: true, temperature: 0 })) out.push(token);
  return out;
}

/** The logits of a few replayed steps. */
async function decode(name: string, options: { threads: number; repeatLimit?: number }): Promise<Float32Array[]> {
  const checkpoint = await openCheckpoint(await resolveSource(modelDirectory(name)!));
  try {
    return await stepLogits(checkpoint, await wasm(options));
  } finally {
    await checkpoint.close();
  }
}
