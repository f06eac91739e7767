// The text of all experiments: stories, the vocabulary that is trained on them, and every tenth story,
// which no training sees. Any text will do whose documents are divided by <|endoftext|>:
//
//   node scripts/zoo/corpus.mjs --model <stories15M> --out zoo-run     tells stories
//   node lab/muon-against-adamw.mjs --data zoo-run/train.txt           reads them, or other files
//
// Prepared once, and kept in the folder of the run.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { END_OF_TEXT, loadTokenizer } from '../dist/tokenizer/index.js';
import { packedTokens } from '../dist/training/index.js';
import { prepareTokens, storiesOf } from '../scripts/zoo/tokenizer.mjs';

/** Small, so that little of a small model is its embedding, and stories are long in tokens. */
const VOCABULARY = 512;
const HELD_OUT_EVERY = 10;
/** About two million tokens, of which the longest training reads one. */
const MOST_STORIES = 8000;

/** Divides text files into stories to train on and held-out ones, and trains the vocabulary. */
async function prepare(folder, files) {
  const stories = files.flatMap((file) => readFileSync(file, 'utf8').split(END_OF_TEXT)).map((text) => text.trim()).filter((text) => text !== '').slice(0, MOST_STORIES);
  if (stories.length < HELD_OUT_EVERY) throw new Error(`${files.join(', ')}: ${stories.length} documents divided by ${END_OF_TEXT}; at least ${HELD_OUT_EVERY} are needed, one of which is held out`);
  const isHeldOut = (_, i) => i % HELD_OUT_EVERY === HELD_OUT_EVERY - 1;
  mkdirSync(folder, { recursive: true });
  const write = (name, part) => writeFileSync(join(folder, name), part.map((text) => `${text}\n${END_OF_TEXT}\n`).join(''));
  write('heldout.txt', stories.filter(isHeldOut));
  write('train.txt', stories.filter((text, i) => !isHeldOut(text, i)));
  await prepareTokens({ out: folder, vocab: VOCABULARY });
}

/**
 * The corpus of a folder, made of `files` where there is none yet: token ids of all training stories
 * end to end, held-out stories each from mark to mark, the mark's id, and what identifies it all.
 */
export async function openCorpus(folder, files = []) {
  const train = join(folder, 'train.txt');
  if (!existsSync(join(folder, 'tokenizer/tokenizer.json'))) {
    if (files.length === 0) throw new Error(`${folder} has no stories yet: give text files with --data, or tell stories with scripts/zoo/corpus.mjs first`);
    await prepare(folder, files);
  }
  const tokenizer = await loadTokenizer(join(folder, 'tokenizer'));
  const mark = tokenizer.tokenToId(END_OF_TEXT);
  const tokens = await packedTokens([train], tokenizer, { cache: folder });
  const heldOut = storiesOf(join(folder, 'heldout.txt')).map((story) => [mark, ...tokenizer.encode(story, { addSpecialTokens: false }), mark]);
  const print = createHash('sha256').update(readFileSync(join(folder, 'tokenizer/tokenizer.json'))).update(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)).digest('hex').slice(0, 16);
  return { tokens, heldOut, mark, vocabulary: tokenizer.vocabularySize, figures: { print, trainTokens: tokens.length, heldOutStories: heldOut.length, vocabulary: tokenizer.vocabularySize } };
}
