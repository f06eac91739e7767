// QK-Clip: scores above the limit come down to it exactly, in every arrangement of query and key
// weights, and a run whose scores grow is held near the limit. Routing biases and the auxiliary loss.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parameters } from '../../src/nn/index.js';
import { fromArray, scope } from '../../src/tensor/index.js';
import { balanceLoss, initialize, muon, muonClip, sequenceBalanceLoss, train } from '../../src/training/index.js';
import { Batch } from '../../src/training/batch.js';
import { differentiate, disposePass } from '../../src/training/differentiate.js';
import type { Optimizer, TrainingStep } from '../../src/training/index.js';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { Device } from '../../src/tensor/index.js';
import { loadReference, modelDirectory, readArrays, titled } from '../support.js';
import { fewSequences, tinyConfig, unmoved } from './support.js';

/** Moves nothing itself, so that only clipping does. */
const still = (scoreLimit: number): Optimizer => ({ name: 'still', learningRate: 0, scoreLimit, prepare: () => unmoved });

async function steps(run: AsyncGenerator<TrainingStep>): Promise<TrainingStep[]> {
  const all: TrainingStep[] = [];
  for await (const step of run) all.push(step);
  return all;
}

describe('scores come down to the limit', () => {
  for (const name of ['gpt2', 'llama3', 'deepseek_v3', 'deepseek_v2_lite']) it.skipIf(!modelDirectory(name))(titled(name), async () => {
    const model = await loadReference(name, { weights: 'f32' });
    const ids = (await readArrays(join(modelDirectory(name)!, 'reference.safetensors'))).get('input_ids')!;
    const batches = [0, 1].map(() => [[...ids.data.slice(0, 40)]]);
    const before = model.engine.device.liveBytes;
    const [free] = await steps(train(model, { batches: batches.slice(1), optimizer: still(Infinity) }));
    expect(free.clippedHeads).toBe(0);
    const limit = free.largestScore! / 3;
    // The first layer's input does not depend on clipping: below it, a later pass sees the limit itself.
    const [first] = await steps(train(model, { batches: batches.slice(1), optimizer: still(limit) }));
    expect(first.largestScore).toBe(free.largestScore);
    expect(first.clippedHeads).toBeGreaterThan(0);
    const history = await steps(train(model, { batches: Array.from({ length: 6 }, () => batches[0]), optimizer: still(limit) }));
    expect(history.at(-1)!.largestScore).toBeLessThan(limit * 1.0001);
    expect(history.at(-1)!.largestScore).toBeGreaterThan(limit * 0.5);
    expect(model.engine.device.liveBytes).toBe(before);
    await model.dispose();
  });

  it('and a norm of queries and keys is left alone', async () => {
    const model = await initialize({ ...tinyConfig, model_type: 'qwen3', head_dim: 4, rope_theta: 1e4 }, { backend: 'reference' });
    const [step] = await steps(train(model, { batches: [fewSequences(1, 8)], optimizer: still(1e-9) }));
    expect(step).toMatchObject({ clippedHeads: 0 });
    await model.dispose();
  });
});

it('holds a run whose scores grow', async () => {
  const grown = async (optimizer: Optimizer) => {
    const model = await initialize(tinyConfig, { seed: 5, backend: 'reference' });
    const history = await steps(train(model, { batches: (i) => fewSequences(4, 16, i % 2), steps: 25, optimizer, scores: true }));
    await model.dispose();
    return history.map(({ largestScore }) => largestScore!);
  };
  const settings = { scaling: 'rms', learningRate: 0.08, weightDecay: 0 } as const;
  const free = await grown(muon(settings));
  const held = await grown(muonClip({ ...settings, scoreLimit: 1 }));
  expect(free.at(-1)).toBeGreaterThan(5);
  expect(Math.max(...held.slice(-8))).toBeLessThan(2.5);
}, 60_000);

describe('experts', () => {
  const moe = {
    ...tinyConfig, model_type: 'qwen3_moe', head_dim: 4, rope_theta: 1e4, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 12, norm_topk_prob: true,
    router_aux_loss_coef: 0.01,
  };

  it('the balance loss is what transformers computes over all layers', async () => {
    const device = new Device(new ReferenceBackend());
    const layers = [[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], [[0.3, 0.3, 0.4], [0.2, 0.6, 0.2]]];
    const chosen = [[0, 1, 2, 1], [2, 0, 1, 0]];
    const loss = scope(() => balanceLoss(layers.map((rows, i) => ({
      scores: fromArray(device, [2, 3], Float32Array.from(rows.flat())), indices: fromArray(device, [2, 2], Int32Array.from(chosen[i])),
    }))).retain());
    const rows = layers.flat();
    const mean = (e: number) => rows.reduce((sum, row) => sum + row[e], 0) / rows.length;
    const share = (e: number) => chosen.flat().filter((index) => index === e).length / rows.length;
    expect((await loss.toFloat32())[0]).toBeCloseTo(3 * [0, 1, 2].reduce((sum, e) => sum + mean(e) * share(e), 0), 5);
    loss.release();
    expect(device.liveBytes).toBe(0);
  });

  it('its coefficient comes from the config, and its gradient reaches the router', async () => {
    const run = async (config: object, balance?: number) => {
      const model = await initialize({ ...config } as Record<string, unknown>, { seed: 2, backend: 'reference' });
      const [step] = await steps(train(model, { batches: [fewSequences(3, 12)], optimizer: still(1e9), balance }));
      await model.dispose();
      return step;
    };
    const [configured, none, strong] = [await run(moe), await run(moe, 0), await run(moe, 10)];
    expect(configured.balanceLoss).toBeGreaterThan(1.9);
    expect(none.balanceLoss).toBeUndefined();
    expect(strong.loss).toBe(none.loss);
    expect(strong.gradientNorm).not.toBe(none.gradientNorm);
  });

  const latent = {
    ...tinyConfig, model_type: 'deepseek_v3', num_key_value_heads: 4, moe_intermediate_size: 8, n_routed_experts: 4, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, n_group: 2, topk_group: 1,
    routed_scaling_factor: 1.5, kv_lora_rank: 8, q_lora_rank: 8, qk_nope_head_dim: 4, qk_rope_head_dim: 4, v_head_dim: 4, norm_topk_prob: true, rope_theta: 1e4,
  };

  it('the loss by sequence is that of DeepSeek V3, eq. 17 to 20, and 1 a layer when all get the same', async () => {
    const device = new Device(new ReferenceBackend());
    const rows = [[0.9, 0.5, 0.2], [0.1, 0.4, 0.3], [0.6, 0.7, 0.8], [0.3, 0.2, 0.1], [0.2, 0.9, 0.4]];
    const lengths = [2, 3];
    const lossOf = async (scores: number[][], starts: number[], k: number) => {
      const given = { scores: fromArray(device, [scores.length, 3], Float32Array.from(scores.flat())), indices: fromArray(device, [scores.length, k], new Int32Array(scores.length * k)) };
      const from = fromArray(device, [starts.length], Int32Array.from(starts));
      const loss = scope(() => sequenceBalanceLoss([given, given], from).retain());
      const [value] = await loss.toFloat32();
      for (const tensor of [given.scores, given.indices, from]) tensor.storage.freeIfUnowned();
      loss.release();
      return value;
    };
    let expected = 0;
    for (const [s, n] of lengths.entries()) {
      const own = rows.slice(s === 0 ? 0 : 2).slice(0, n);
      for (const e of [0, 1, 2]) {
        const among = own.filter((row) => [0, 1, 2].sort((a, b) => row[b] - row[a]).slice(0, 2).includes(e)).length;
        const affinity = own.reduce((sum, row) => sum + row[e] / row.reduce((a, b) => a + b), 0) / n;
        expected += (3 / (2 * n)) * among * affinity / lengths.length;
      }
    }
    expect(await lossOf(rows, [0, 0, 2, 2, 2], 2)).toBeCloseTo(2 * expected, 5);
    expect(await lossOf([[0.4, 0.4, 0.4], [0.4, 0.4, 0.4]], [0, 0], 3)).toBeCloseTo(2, 6);
    expect(device.liveBytes).toBe(0);
  });

  it('its coefficient comes from aux_loss_alpha where seq_aux says so, beside a bias, and its gradient agrees with finite differences', async () => {
    const [without, configured] = [await initialize(latent, { seed: 2, backend: 'reference' }), await initialize({ ...latent, aux_loss_alpha: 0.01, seq_aux: true }, { seed: 2, backend: 'reference' })];
    const batches = [fewSequences(3, 12)];
    expect((await steps(train(without, { batches, optimizer: still(1e9) })))[0].balanceLoss).toBeUndefined();
    expect((await steps(train(configured, { batches, optimizer: still(1e9) })))[0].balanceLoss).toBeGreaterThan(0.5);
    await without.dispose();
    const { engine } = configured;
    const router = parameters(engine.decoder).find(({ path }) => path.endsWith('gate.weight'))!;
    // Far enough apart that no choice changes between the differences.
    const weights = (await router.tensor.toFloat32()).map((w) => 40 * w);
    const batch = new Batch(engine.device, batches[0]);
    const strength = 5;
    const pass = () => differentiate(engine, batch, { balance: strength, bySequence: true });
    const set = (values: Float32Array) => engine.device.backend.write(router.tensor.storage.id, 0, new Uint8Array(values.buffer));
    const total = async (moved: Float32Array) => {
      set(moved);
      const made = pass();
      const [[loss], [balance]] = [await made.loss.toFloat32(), await made.balance!.toFloat32()];
      disposePass(made);
      return loss + strength * balance;
    };
    set(weights);
    const made = pass();
    const gradient = await made.gradients.get(router)!.toFloat32();
    disposePass(made);
    const largest = Math.max(...gradient.map(Math.abs));
    const h = 2e-3;
    for (const i of [0, 7, 21, 38, 63]) {
      const at = (delta: number) => total(weights.map((w, j) => (j === i ? w + delta : w)));
      expect(Math.abs((await at(h) - await at(-h)) / (2 * h) - gradient[i]), `element ${i}`).toBeLessThan(0.02 * largest);
    }
    batch.dispose();
    await configured.dispose();
    expect(engine.device.liveBytes).toBe(0);
  });

  it.skipIf(!modelDirectory('deepseek_v3'))('a routing bias rises where an expert is chosen less than others, by the rate', async () => {
    const model = await loadReference('deepseek_v3');
    const ids = (await readArrays(join(modelDirectory('deepseek_v3')!, 'reference.safetensors'))).get('input_ids')!;
    const bias = parameters(model.engine.decoder).find(({ frozen }) => frozen)!;
    const before = await bias.tensor.toFloat32();
    await steps(train(model, { batches: [[[...ids.data.slice(0, 40)]]], optimizer: still(1e9), biasRate: 0.25 }));
    const moves = (await bias.tensor.toFloat32()).map((value, i) => value - before[i]);
    expect(new Set([...moves].map((move) => Math.abs(Number(move.toFixed(4)))))).toEqual(new Set([0.25, ...(moves.includes(0) ? [0] : [])]));
    expect(moves.some((move) => move > 0) && moves.some((move) => move < 0)).toBe(true);
    await model.dispose();
  });
});

it('a run that stops being finite names the step and the tensor, and leaves the model as it was', async () => {
  const model = await initialize(tinyConfig, { seed: 5, backend: 'reference' });
  const weight = parameters(model.engine.decoder).find(({ path }) => path === 'layers.1.mlp.up_proj.weight')!;
  const values = await weight.tensor.toFloat32();
  const optimizer = muon();
  const all: number[] = [];
  const broken = (async () => {
    for await (const { step } of train(model, { batches: (i) => fewSequences(2, 8, i), steps: 5, optimizer })) {
      all.push(step);
      if (step === 2) model.engine.device.backend.write(weight.tensor.storage.id, 0, new Uint8Array(Float32Array.from(values, () => NaN).buffer));
    }
  })();
  await expect(broken).rejects.toThrow(/^step 3: the loss is NaN; the gradient of [\w.]+ is not finite\. /);
  expect(all).toEqual([1, 2]);
  await model.dispose();
});
