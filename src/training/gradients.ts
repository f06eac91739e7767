// The loss of a model on token sequences, and its gradient for every parameter under the names
// and in the layout that checkpoints have.

import { assemble, storedParts } from '../engine/index.js';
import type { Engine } from '../engine/index.js';
import type { Parameter } from '../nn/index.js';
import { elementCount } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import { Batch } from './batch.js';
import { checkSequences, differentiate, disposePass } from './differentiate.js';

export interface LossAndGradients {
  /** Mean next-token cross-entropy over all predicted tokens, in nats. */
  readonly loss: number;
  /** Checkpoint name -> gradient, in the layout of the stored tensor. */
  readonly gradients: Map<string, Float32Array>;
}

/**
 * Loss and gradients of a model whose weights are float32, on sequences of at least two tokens.
 * A parameter that the loss does not reach (or that the trainer moves by a rule) has zeros.
 */
export async function lossAndGradients({ engine }: { readonly engine: Engine }, sequences: readonly (readonly number[])[]): Promise<LossAndGradients> {
  checkSequences(engine, sequences);
  const batch = new Batch(engine.device, sequences);
  const pass = differentiate(engine, batch);
  try {
    const named = new Map<string, Float32Array>();
    for (const [name, parts] of storedParts(engine.decoder)) named.set(name, await assemble(parts, parts[0].piece.shape, (p) => valuesOf(pass.gradients, p)));
    return { loss: (await pass.loss.toFloat32())[0], gradients: named };
  } finally {
    disposePass(pass);
    batch.dispose();
  }
}

async function valuesOf(gradients: ReadonlyMap<Parameter, Tensor | null>, parameter: Parameter): Promise<Float32Array> {
  const gradient = gradients.get(parameter);
  return gradient ? gradient.toFloat32() : new Float32Array(elementCount(parameter.shape));
}
