// Arithmetic, bytes and formats against counts written out by hand: what describe.test.ts leaves
// open (the absorbed form of DeepSeek V3, prefills, weights in every format, caches at every precision).

import { describe as group, expect, it } from 'vitest';
import { describe } from '../../src/analysis/index.js';

/** Pairs of a token and one that it sees, over a causal prompt. */
const causal = (tokens: number) => (tokens * (tokens + 1)) / 2;

group('DeepSeek V3, absorbed MLA as it runs', () => {
  const [D, N, P, O, V, R, Q, L] = [7168, 128, 128, 64, 128, 512, 1536, 61];
  // Per token and layer: queries down and up, the latent row, the key half of kv_b_proj moved onto
  // the queries, the value half onto what attention returns, and the output.
  const attentionMatrices = D * Q + Q * N * (P + O) + D * (R + O) + N * P * R + N * R * V + N * V * D;
  const dense = 3 * D * 18432;
  const moe = D * 256 + (8 + 1) * 3 * D * 2048;
  const perToken = L * attentionMatrices + 3 * dense + 58 * moe;

  it('decodes at 8,192 tokens', async () => {
    const { decode } = await describe('deepseek-v3', { context: 8192 });
    expect(decode.flops.matrices).toBe(2 * (perToken + D * 129280));
    // All heads take products with rows of 576 and sum rows of 512.
    expect(decode.flops.attention).toBe(L * 2 * 8192 * N * (R + O + R));
    // Norms at 4 per number, RoPE at 3, SiLU at 5 with its product at 1, residuals; the routers'
    // sigmoids, biases and choices; the sums over experts. Less than two in a thousand.
    expect(decode.flops.other).toBeLessThan(0.002 * decode.flops.total);
    expect(decode.flops.total).toBe(decode.flops.matrices + decode.flops.attention + decode.flops.other);
  });

  it('prefills 1,000 tokens', async () => {
    const { prefill } = await describe('deepseek-v3', { context: 1000 });
    expect(prefill.flops.matrices).toBe(2 * (1000 * perToken + D * 129280));
    expect(prefill.flops.attention).toBe(L * 2 * causal(1000) * N * (R + O + R));
  });
});

group('Qwen3-8B', () => {
  it('prefills 2,048 tokens, the head once', async () => {
    const { prefill } = await describe('qwen3-8b', { context: 2048 });
    const [D, N, K, H, F, L, V] = [4096, 32, 8, 128, 12288, 36, 151936];
    expect(prefill.flops.matrices).toBe(2 * (2048 * L * (D * N * H + 2 * D * K * H + N * H * D + 3 * D * F) + D * V));
    expect(prefill.flops.attention).toBe(L * 2 * causal(2048) * N * (H + H));
  });

  it('has few operations per byte when decoding and many in a prefill', async () => {
    const { decode, prefill } = await describe('qwen3-8b', { context: 2048 });
    for (const pass of [decode, prefill]) expect(pass.intensity).toBe(pass.flops.total / (pass.bytesRead + pass.bytesWritten));
    // Two operations for each two-byte weight, and a little less for what else is read.
    expect(decode.intensity).toBeGreaterThan(0.9);
    expect(decode.intensity).toBeLessThan(1.1);
    expect(prefill.intensity).toBeGreaterThan(100);
  });
});

group('weights by format', () => {
  it('of Qwen3-0.6B: matrices are quantised, vectors stay', async () => {
    const { weightFormats: w, parameters } = await describe('qwen3-0.6b');
    // Norms: two a layer and the last over 1,024; one per query and key head of 128.
    const vectors = 57 * 1024 + 28 * 2 * 128;
    const matrices = parameters.total - vectors;
    expect(w.f32.bytes).toBe(4 * parameters.total);
    expect(w.bf16.bytes).toBe(2 * parameters.total);
    expect(w.f16.bytes).toBe(w.bf16.bytes);
    expect(w.q8_0).toEqual({ bytes: (matrices / 32) * 34 + 4 * vectors, quantised: matrices, kept: vectors });
    expect(w.q4_0).toEqual({ bytes: (matrices / 32) * 18 + 4 * vectors, quantised: matrices, kept: vectors });
    // The figure that the engine's own benchmark reads per token.
    expect(Math.round(w.q8_0.bytes / 1e6)).toBe(633);
  });

  it('keeps routers, embedding and head out of FP8, as the releases do', async () => {
    const { weightFormats: { fp8 }, parameters: { byPart, total } } = await describe('deepseek-v3');
    const norms = 61 * (2 * 7168 + 1536 + 512) + 7168;
    expect(fp8.kept).toBe(byPart.embedding! + byPart.head! + byPart.router! + norms);
    expect(fp8.quantised).toBe(total - fp8.kept);
  });

  it('in FP8 are the bytes of the published Kimi K2', async () => {
    // Tensor bytes of its 61 files. They hold beside the weights 61 tables of 56 bf16 frequencies,
    // and the 60 routers' biases in four bytes where this counts two.
    const published = 1_029_173_256_720;
    const { weightFormats: { fp8 } } = await describe('kimi-k2');
    expect(published - fp8.bytes).toBe(61 * 56 * 2 + 60 * 384 * 2);
  });

  it('leaves rows alone that blocks of 32 do not divide', async () => {
    const { findPublished } = await import('../../src/models/published.js');
    const config = { ...findPublished('gpt2')!.config, n_embd: 60, n_head: 6, n_layer: 1 };
    const { weightFormats: { q8_0 } } = await describe(config);
    // Rows of 60 everywhere but in the feed-forward's way down, 60 rows of 240: those neither.
    expect(q8_0.quantised).toBe(0);
  });
});

group('the cache by kind and precision', () => {
  it('of Gemma 3 27B at 1k, 8k and 128k', async () => {
    const layer = 2 * 16 * 128;
    for (const [context, windowed] of [[1024, 1024], [8192, 1024], [131072, 1024]]) {
      const { kvByKind, kvBytes } = await describe('gemma-3-27b', { context });
      expect(kvByKind.map(({ attention, reach, span, layers }) => ({ attention, reach, span, layers }))).toEqual([
        { attention: 'GQA', reach: 'sliding', span: 1024, layers: 52 }, { attention: 'GQA', reach: 'full', span: null, layers: 10 },
      ]);
      expect(kvByKind[0].bytesAtContext).toEqual({ f32: 52 * windowed * layer * 4, bf16: 52 * windowed * layer * 2, fp8: 52 * windowed * layer, q8_0: (52 * windowed * layer * 34) / 32 });
      expect(kvByKind[1].bytesAtContext.fp8).toBe(10 * context * layer);
      expect(kvBytes(context, 'q8_0')).toBe(kvByKind[0].bytesAtContext.q8_0 + kvByKind[1].bytesAtContext.q8_0);
    }
  });

  it('of Llama 4 Scout at 1k, 8k and 128k', async () => {
    for (const [context, chunked] of [[1024, 1024], [8192, 8192], [131072, 8192]]) {
      const { kvByKind } = await describe('llama-4-scout', { context });
      const kinds = new Map(kvByKind.map((kind) => [kind.reach, kind]));
      expect(kinds.get('chunked')).toMatchObject({ span: 8192, layers: 36, bytesPerToken: { bf16: 36 * 4096 }, bytesAtContext: { bf16: 36 * chunked * 4096, f32: 36 * chunked * 8192 } });
      expect(kinds.get('full')).toMatchObject({ span: null, layers: 12, bytesAtContext: { bf16: 12 * context * 4096 } });
    }
  });

  it('of MHA and MLA', async () => {
    const [gpt2, deepseek] = [await describe('gpt2'), await describe('deepseek-v3')];
    expect(gpt2.kvByKind).toMatchObject([{ attention: 'MHA', reach: 'full', layers: 12, bytesPerToken: { f32: 12 * 2 * 768 * 4 } }]);
    expect(deepseek.kvByKind).toMatchObject([{ attention: 'MLA', layers: 61, bytesPerToken: { bf16: 70272, fp8: 35136 } }]);
  });
});
