// Multi-head latent attention runs absorbed. Here is the expanded form, as the papers write it,
// over plain arrays: both give the same numbers.

import { expect, it } from 'vitest';
import { parameters } from '../../src/nn/index.js';
import { loadReference, relativeError } from '../support.js';

const N = 4, P = 16, O = 8, V = 16, R = 32, D = 64;
const EPS = 1e-6;

type Rows = Float32Array[];
const times = (x: Float32Array, w: Float32Array): Float32Array =>
  Float32Array.from({ length: w.length / x.length }, (_, o) => x.reduce((sum, v, i) => sum + v * w[o * x.length + i], 0));
const norm = (x: Float32Array, w: Float32Array): Float32Array => {
  const inverse = 1 / Math.sqrt(x.reduce((s, v) => s + v * v, 0) / x.length + EPS);
  return x.map((v, i) => v * inverse * w[i]);
};
const rotate = (x: Float32Array, position: number, frequencies: Float32Array): Float32Array => {
  const out = x.slice();
  frequencies.forEach((f, i) => {
    const [cos, sin] = [Math.cos(position * f), Math.sin(position * f)];
    [out[2 * i], out[2 * i + 1]] = [x[2 * i] * cos - x[2 * i + 1] * sin, x[2 * i + 1] * cos + x[2 * i] * sin];
  });
  return out;
};

/** softmax(q k^T * scale) v with keys and values expanded per head. */
function expanded(x: Rows, w: (name: string) => Float32Array, frequencies: Float32Array, scale: number): Rows {
  const q = x.map((row) => times(norm(times(row, w('q_a_proj')), w('q_a_layernorm')), w('q_b_proj')));
  const kv = x.map((row) => times(row, w('kv_a_proj_with_mqa')));
  const kRope = kv.map((row, t) => rotate(row.slice(R), t, frequencies));
  const heads = kv.map((row) => times(norm(row.slice(0, R), w('kv_a_layernorm')), w('kv_b_proj')));
  return x.map((_, t) => {
    const out = new Float32Array(N * V);
    for (let n = 0; n < N; n++) {
      const own = q[t].slice(n * (P + O), (n + 1) * (P + O));
      const query = Float32Array.of(...own.slice(0, P), ...rotate(own.slice(P), t, frequencies));
      const scores = Array.from({ length: t + 1 }, (_, s) => {
        const key = Float32Array.of(...heads[s].slice(n * (P + V), n * (P + V) + P), ...kRope[s]);
        return query.reduce((sum, v, i) => sum + v * key[i], 0) * scale;
      });
      const top = Math.max(...scores);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      scores.forEach((score, s) => {
        for (let d = 0; d < V; d++) out[n * V + d] += (Math.exp(score - top) / total) * heads[s][n * (P + V) + P + d];
      });
    }
    return times(out, w('o_proj'));
  });
}

it('the absorbed form equals the expanded one', async () => {
  const model = await loadReference('deepseek_v3');
  const seen = await model.trace([9, 44, 130, 7, 201, 88, 3, 61, 250], { capture: ['layers.1.input_layernorm', 'layers.1.self_attn'] });
  const input = seen.get('layers.1.input_layernorm')!;
  const rows = Array.from({ length: input.shape[0] }, (_, t) => input.data.slice(t * D, (t + 1) * D));
  const weights = new Map<string, Float32Array>();
  for (const p of parameters(model.engine.decoder)) {
    const match = /^layers\.1\.self_attn\.(\w+)\.weight$/.exec(p.path);
    if (match) weights.set(match[1], await p.tensor.toFloat32());
  }
  const { frequencies, scale } = yarn(model.config as unknown as Parameters<typeof yarn>[0]);
  const got = expanded(rows, (name) => weights.get(name)!, frequencies, scale);
  const flat = Float32Array.from(got.flatMap((row) => [...row]));
  expect(relativeError(seen.get('layers.1.self_attn')!.data, flat)).toBeLessThan(1e-5);
  await model.dispose();
});

/** YaRN by hand from the config: factor 40 over 32 tokens, beta 32 and 1, mscale 1. */
function yarn(config: { rope_theta: number; rope_scaling: { factor: number; original_max_position_embeddings: number } }): { frequencies: Float32Array; scale: number } {
  const { rope_theta: theta, rope_scaling: { factor, original_max_position_embeddings: original } } = config;
  const pair = (rotations: number) => (O * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const [low, high] = [Math.max(Math.floor(pair(32)), 0), Math.min(Math.ceil(pair(1)), O - 1)];
  const frequencies = Float32Array.from({ length: O / 2 }, (_, i) => {
    const f = theta ** ((-2 * i) / O);
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (f / factor) * ramp + f * (1 - ramp);
  });
  return { frequencies, scale: (P + O) ** -0.5 * (0.1 * Math.log(factor) + 1) ** 2 };
}
