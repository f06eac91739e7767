// Small models and batches for tests of training.

import { seededRandom } from '../../src/generate/index.js';
import type { Updates } from '../../src/training/index.js';

/** A dense model of two layers and 64 tokens. */
export const tinyConfig = {
  model_type: 'llama', vocab_size: 64, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2,
  max_position_embeddings: 64, rms_norm_eps: 1e-5, tie_word_embeddings: true,
};

/** Sequences of random tokens. */
export function fewSequences(count: number, length: number, seed = 1): number[][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Array.from({ length }, () => Math.floor(random() * 64)));
}

/** An optimiser's part that moves nothing. */
export const unmoved: Updates = { state: new Map(), begin: () => {}, apply: () => {}, dispose: () => {} };
