// From a parameter's path to the name its tensors have in a checkpoint, and back.
//
// Releases differ in prefix only: '' (GPT-2's own files), 'model.', 'transformer.',
// 'language_model.model.', 'model.language_model.', … The prefix is found once, by looking for
// the embedding table; the head has a prefix of its own.

import type { StoredTensor } from '../checkpoint/index.js';
import { storedPieces } from '../nn/index.js';
import type { Decoder, Parameter, Piece } from '../nn/index.js';
import { sameShape } from '../tensor/op.js';

/** Where this checkpoint keeps the frame's two roots. */
export interface Prefixes { readonly body: string; readonly head: string }

/** The prefixes that the family's own releases have. */
export function publishedPrefixes(decoder: Decoder): Prefixes {
  return { body: decoder.frame.storedPrefix ?? 'model.', head: '' };
}

/** Finds the prefixes a checkpoint uses; the published ones where it has no embedding table. */
export function findPrefixes(decoder: Decoder, tensors: ReadonlyMap<string, StoredTensor>): Prefixes {
  const published = publishedPrefixes(decoder);
  const { vocab, dim } = decoder.frame;
  const body = endingWith(tensors, rename(decoder, 'embed_tokens.weight'), [vocab, dim]);
  const head = endingWith(tensors, 'lm_head.weight', [vocab, dim]);
  return { body: body ?? published.body, head: head ?? published.head };
}

function endingWith(tensors: ReadonlyMap<string, StoredTensor>, ending: string, shape: readonly number[]): string | undefined {
  const found = [...tensors.values()].filter(({ name }) => name === ending || name.endsWith(`.${ending}`));
  // An MTP layer or a vision tower may hold a table of its own: the shortest name of the right shape is the model's.
  found.sort((a, b) => Number(sameShape(b.shape, shape)) - Number(sameShape(a.shape, shape)) || a.name.length - b.name.length);
  return found[0]?.name.slice(0, -ending.length);
}

/** A canonical path under the names that the family's checkpoints use for the frame's parts. */
function rename(decoder: Decoder, path: string): string {
  const [first] = path.split('.', 1);
  const stored = decoder.frame.storedNames?.[first];
  return stored ? stored + path.slice(first.length) : path;
}

/** The stored tensors of a parameter, with full names. */
export function checkpointPieces(decoder: Decoder, parameter: Parameter, { body, head }: Prefixes): Piece[] {
  return storedPieces(parameter).map((piece) => ({
    ...piece, name: (piece.name.startsWith('lm_head.') ? head : body) + rename(decoder, piece.name),
  }));
}
