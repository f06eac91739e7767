// A tiny model with a tokenizer of its own, made on the spot: enough to test text without any asset.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initialize } from '../../src/training/index.js';
import { temporaryFolder } from '../temporary.js';

/** GPT-2's byte alphabet: every byte has a printable character. */
function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/** A directory with a random Llama and a byte-level tokenizer of 257 tokens; the last ends a text. */
export async function storyModel(): Promise<string> {
  const directory = temporaryFolder();
  const model = await initialize({
    model_type: 'llama', vocab_size: 257, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2,
    max_position_embeddings: 128, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true, hidden_act: 'silu', eos_token_id: 256,
  }, { seed: 11 });
  await model.save(directory);
  await model.dispose();
  const vocab = Object.fromEntries(byteAlphabet().map((c, i) => [c, i]));
  writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify({
    version: '1.0', added_tokens: [{ id: 256, content: '<end>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
    normalizer: null, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }, post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: [] },
  }));
  return directory;
}
