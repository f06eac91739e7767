// The vocabulary that all siblings share, trained on the zoo's stories, and the stories in it: packed
// once, so that every sibling reads the same tokens in the same order.
//
//   node scripts/zoo/tokenizer.mjs --out zoo-run [--vocab 2048]
//
// Reads train.txt and leaves tokenizer/ and tokens-<fingerprint>.bin.

import { readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BpeTrainer, END_OF_TEXT, loadTokenizer } from '../../dist/tokenizer/index.js';
import { packedTokens } from '../../dist/training/index.js';

/** Every prompt begins behind the mark that ends a story, as every story did in training. */
const beginsAtStart = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: END_OF_TEXT, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ SpecialToken: { id: END_OF_TEXT, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
  special_tokens: { [END_OF_TEXT]: { id: END_OF_TEXT, ids: [0], tokens: [END_OF_TEXT] } },
};

/** The stories of a corpus file. */
export const storiesOf = (path) => readFileSync(path, 'utf8').split(`\n${END_OF_TEXT}\n`).filter((text) => text !== '');

/** Trains the vocabulary and packs the training stories; returns how many tokens they have. */
export async function prepareTokens({ out, vocab }) {
  const trainer = new BpeTrainer();
  for (const story of storiesOf(join(out, 'train.txt'))) trainer.add(story);
  const directory = join(out, 'tokenizer');
  mkdirSync(directory, { recursive: true });
  const write = (name, value) => writeFileSync(join(directory, name), `${JSON.stringify(value, null, 2)}\n`);
  write('tokenizer.json', { ...trainer.tokenizerJson(vocab), post_processor: beginsAtStart });
  write('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast', bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, clean_up_tokenization_spaces: false });
  return (await packedTokens([join(out, 'train.txt')], await loadTokenizer(directory), { cache: out })).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: 'string', default: 'zoo-run' }, vocab: { type: 'string', default: '2048' } } });
  console.log(`${await prepareTokens({ out: values.out, vocab: Number(values.vocab) })} tokens`);
}
