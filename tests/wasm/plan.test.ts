// A recorded decode step: equal to the definition, with the barriers that its structure needs and
// no more, and memory that is given back.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import type { WasmBackend } from '../../src/backends/wasm/index.js';
import { Engine } from '../../src/engine/index.js';
import type { Backend, Plan } from '../../src/tensor/index.js';
import { elementCount, fromArray, fromBytes } from '../../src/tensor/index.js';
import { noise, relativeError } from '../support.js';
import { stored } from './runs.js';
import { multipliesBytes, wasm } from './support.js';

/** Wide enough that projections are divided, not repeated. */
const dense = {
  model_type: 'qwen3', vocab_size: 131, hidden_size: 192, intermediate_size: 288, num_hidden_layers: 2, num_attention_heads: 8, num_key_value_heads: 4,
  head_dim: 32, hidden_act: 'silu', max_position_embeddings: 512, rms_norm_eps: 1e-6, rope_theta: 1e6, tie_word_embeddings: true,
};
const sparse = { ...dense, model_type: 'qwen3_moe', num_experts: 8, num_experts_per_tok: 3, moe_intermediate_size: 96, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] };

function engineOf(config: object, backend: Backend, dtype: 'f32' | 'q8_0'): Engine {
  let seed = 0;
  return Engine.create(config, backend, ({ shape, precise }, device) => {
    seed++;
    if (shape.length < 2) return fromArray(device, shape, noise(elementCount(shape), seed).map((x) => 1 + 0.1 * x));
    const { spec, bytes } = stored({ shape, dtype: precise ? 'f32' : dtype }, seed);
    // Noise is of deviation 0.6; logits should stay within tens.
    return fromBytes(device, spec, dtype === 'f32' || precise ? scaled(bytes) : scaledBlocks(bytes));
  });
}

const scaled = (bytes: Uint8Array): Uint8Array => new Uint8Array(new Float32Array(bytes.slice().buffer).map((x) => x / 10).buffer);
/** Eight times smaller: three off each f16 scale's exponent. */
function scaledBlocks(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 34) view.setUint16(at, Math.max(0, view.getUint16(at, true) - (3 << 10)), true);
  return bytes;
}

async function steps(engine: Engine): Promise<Float32Array[]> {
  const [a, b] = [engine.runner.sequence(), engine.runner.sequence()];
  const seen: Float32Array[] = [];
  seen.push(...await engine.runner.step([{ sequence: a, tokens: Array.from({ length: 70 }, (_, i) => (i * 37) % 131) }, { sequence: b, tokens: [5, 9] }]));
  for (const token of [17, 4, 130]) seen.push(...await engine.runner.step([{ sequence: a, tokens: [token] }]));
  for (const token of [8, 120]) seen.push(...await engine.runner.step([{ sequence: a, tokens: [token] }, { sequence: b, tokens: [token + 1] }]));
  return seen;
}

for (const [name, config] of [['dense', dense], ['mixture of experts', sparse]] as const) {
  describe(name, () => {
    for (const dtype of ['f32', 'q8_0'] as const) it(`${dtype} steps equal the reference on 1, 2, 3 and 4 threads`, async () => {
      const reference = engineOf(config, new ReferenceBackend(), dtype);
      const want = await steps(reference);
      reference.dispose();
      let first: Float32Array[] | undefined;
      for (const threads of [1, 2, 3, 4]) {
        const engine = engineOf(config, await wasm({ threads }), dtype);
        const got = await steps(engine);
        engine.dispose();
        expect(engine.device.liveBytes).toBe(0);
        first ??= got;
        got.forEach((logits, i) => {
          // Random weights make the most of what bytes round off.
          expect(relativeError(logits, want[i])).toBeLessThan(dtype === 'f32' ? 1e-4 : multipliesBytes() ? 0.04 : 1e-3);
          expect(Buffer.compare(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength), new Uint8Array(first![i].buffer, first![i].byteOffset, first![i].byteLength))).toBe(0);
        });
      }
    });
  });
}

describe('barriers of a decode step', () => {
  /** Two layers more cost this many barriers more, each. */
  async function perLayer(config: object, threads: number): Promise<number> {
    const counts: number[] = [];
    for (const num_hidden_layers of [2, 4]) {
      const backend = await wasm({ threads });
      const engine = engineOf({ ...config, num_hidden_layers }, backend, 'q8_0');
      const record = backend.record.bind(backend);
      backend.record = (...args: Parameters<WasmBackend['record']>) => {
        const plan: Plan & { barriers: number } = record(...args);
        counts.push(plan.barriers);
        return plan as ReturnType<WasmBackend['record']>;
      };
      const sequence = engine.runner.sequence();
      await engine.runner.step([{ sequence, tokens: [1] }]);
      engine.dispose();
    }
    return (counts[1] - counts[0]) / 2;
  }

  it('are four in a dense layer', async () => expect(await perLayer(dense, 2)).toBe(4));
  it('are five where experts are chosen', async () => expect(await perLayer({ ...sparse, num_experts: 128, moe_intermediate_size: 64 }, 2)).toBe(5));
  it('are five where key heads do not divide by the threads', async () => expect(await perLayer(dense, 3)).toBe(5));
  it('are none on one thread', async () => expect(await perLayer(dense, 1)).toBe(0));
});
