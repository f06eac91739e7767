// Products that one dispatch computes behind each other: decoding with them against decoding with a dispatch
// each. Workgroups of a driver in software take turns, so that there a chain has one, or one stage.

import { gpuKind, titled } from './support.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import { acquireGpu } from '../../src/backends/webgpu/gpu.js';
import type { Gpu } from '../../src/backends/webgpu/gpu.js';
import type { Capabilities } from '../../src/backends/webgpu/kernel.js';
import { runTogether } from '../../src/backends/webgpu/residency.js';
import { syntheticEngine } from '../../src/engine/synthetic.js';
import { relativeError } from '../support.js';

const dense = {
  architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', hidden_size: 256, intermediate_size: 512, num_hidden_layers: 2, num_attention_heads: 8, num_key_value_heads: 2, head_dim: 64,
  vocab_size: 300, rms_norm_eps: 1e-6, rope_theta: 10000, max_position_embeddings: 512, tie_word_embeddings: false, hidden_act: 'silu',
};
const configs = {
  dense,
  experts: { ...dense, architectures: ['Qwen3MoeForCausalLM'], model_type: 'qwen3_moe', num_experts: 16, num_experts_per_tok: 4, moe_intermediate_size: 256, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] },
};
type Together = NonNullable<Capabilities['together']>;
const ALONE: Together = { groups: 1, lanes: 128 };
const ONE_STAGE: Together = { groups: 5, lanes: 64, stages: 1 };

describe.skipIf(!gpuKind)(titled('chains'), () => {
  let gpu: Gpu;
  let release: () => void;
  let found: Capabilities;
  beforeAll(async () => {
    ({ gpu, release } = await acquireGpu());
    found = gpu.capabilities;
  });
  afterAll(() => {
    gpu.capabilities = found;
    release();
  });

  /** Logits of a prompt and four more tokens, and the dispatches of the recorded step. */
  async function decoded(name: keyof typeof configs, format: 'f16' | 'q8_0' | 'q4_0', together: Together | undefined) {
    const { together: _, ...apart } = found;
    gpu.capabilities = { ...apart, ...(together && { together }) };
    const backend = new WebGpuBackend(gpu);
    const engine = await syntheticEngine(configs[name], backend, format);
    try {
      const sequence = engine.runner.sequence();
      const logits: number[] = [];
      for (const tokens of [[1, 2, 3, 4, 5], [6], [70], [200], [299]]) logits.push(...(await engine.runner.step([{ sequence, tokens, logits: 'last' }]))[0]);
      return { logits: Float32Array.from(logits), dispatches: backend.counts.plannedDispatches };
    } finally {
      engine.dispose();
      backend.dispose();
    }
  }

  for (const [name, formats] of [['dense', ['f16', 'q8_0', 'q4_0']], ['experts', ['f16', 'q4_0']]] as const) {
    for (const format of formats) {
      it(`computes what single dispatches do: ${name}, ${format}`, async () => {
        const apart = await decoded(name, format, undefined);
        // Chains round activations as finely as f16 weights are; bytes may be rounded the other way.
        const tolerance = format === 'f16' ? 1e-3 : 1e-2;
        for (const together of [ALONE, ONE_STAGE, ...(found.together ? [found.together] : [])]) {
          const chained = await decoded(name, format, together);
          expect(relativeError(chained.logits, apart.logits)).toBeLessThan(tolerance);
          if (!together.stages) expect(chained.dispatches[0]).toBeLessThan(apart.dispatches[0]);
        }
      });
    }
  }

  it.skipIf(gpuKind === 'hardware')('says so where workgroups do not run together, and goes on without', async () => {
    await expect(decoded('dense', 'q4_0', { groups: 64, lanes: 64, looks: 100 })).rejects.toThrow(/linear_add at layers\.0\.self_attn\.o_proj failed on webgpu: its workgroups waited for each other in vain/);
    expect((await decoded('dense', 'q4_0', undefined)).logits.every(Number.isFinite)).toBe(true);
  });

  it('counts workgroups that run together', async () => {
    const groups = await runTogether(gpu.device, 256);
    expect(groups).toBeGreaterThanOrEqual(1);
    expect(groups).toBeLessThan(1024);
  });
});
