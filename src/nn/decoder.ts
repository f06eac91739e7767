// The frame that every family shares: embed tokens, run the blocks, norm, project to the vocabulary.

import { add, isRecording, linear as linearOp, scale, scope, takeRows } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { Step } from './kv.js';
import { embedding, linear } from './layers.js';
import { module, report } from './module.js';
import type { Module } from './module.js';

export type Block = ((x: Tensor, step: Step) => Tensor) & Module;
export type Norm = ((x: Tensor) => Tensor) & Module;

export interface DecoderParts {
  vocab: number;
  dim: number;
  /** Longest context the model was made for, in tokens. */
  context: number;
  layers: readonly Block[];
  norm: Norm;
  /** The head is the embedding table. */
  tied: boolean;
  /** Embeddings are multiplied by this (Gemma). */
  embeddingScale?: number;
  /** Learned absolute positions: how many rows (GPT-2). */
  positions?: number;
  /** What the checkpoint calls the frame's parts, where it differs. */
  storedNames?: Readonly<Record<string, string>>;
  /** Prefix of every name but the head's, as the family's own releases have it. */
  storedPrefix?: string;
}

/** A whole model: from a step to logits [R, vocab]. */
export type Decoder = ((step: Step) => Tensor) & Module & { readonly frame: DecoderParts };

export function decoder(frame: DecoderParts): Decoder {
  const root = module({
    embed_tokens: embedding(frame.vocab, frame.dim),
    embed_positions: frame.positions ? embedding(frame.positions, frame.dim) : null,
    layers: frame.layers,
    norm: frame.norm,
    lm_head: frame.tied ? null : linear(frame.dim, frame.vocab),
  }, (m, step: Step): Tensor => {
    let x_TD = m.embed_tokens(step.tokens);
    if (frame.embeddingScale) x_TD = scale(x_TD, frame.embeddingScale);
    if (m.embed_positions) x_TD = add(x_TD, m.embed_positions(step.positions));
    report('embeddings', x_TD);
    const { outputRows } = step;
    for (const layer of frame.layers) {
      const run = () => (step.layer ? step.layer(layer, x_TD) : layer(x_TD, step));
      const picks = outputRows !== null && layer === frame.layers.at(-1);
      x_TD = passed(x_TD, picks ? () => takeRows(run(), outputRows) : run, picks);
    }
    x_TD = frame.norm(x_TD);
    const logits_TV = m.lm_head ? m.lm_head(x_TD) : linearOp(x_TD, m.embed_tokens.parts.weight.tensor);
    report('logits', logits_TV);
    return logits_TV;
  });
  return Object.assign(root, { frame });
}

/** What a layer makes of x; `picks`: rows of it at last. All else that it used, x too, makes room for the next, but while a tape keeps what it goes back over. */
function passed(x: Tensor, layer: () => Tensor, picks: boolean): Tensor {
  if (isRecording()) return layer();
  const next = x.device.fused(() => scope(layer), picks);
  if (next.storage !== x.storage) x.drop();
  return next;
}
