// The loss of a model on token sequences, and its gradient for every parameter under the names
// and in the layout that checkpoints have.

import { assemble, storedParts } from '../engine/index.js';
import type { Engine } from '../engine/index.js';
import { parameters } from '../nn/index.js';
import type { Parameter } from '../nn/index.js';
import { crossEntropy, elementCount, fromArray, recordTape, scope, takeRows } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import { RowStep } from './row_step.js';

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
export async function lossAndGradients(model: { readonly engine: Engine }, sequences: readonly (readonly number[])[]): Promise<LossAndGradients> {
  const { device, decoder, runner } = model.engine;
  for (const sequence of sequences) runner.checkTokens(sequence);
  if (sequences.length === 0 || sequences.some((s) => s.length < 2)) throw new RangeError('lossAndGradients needs sequences of at least two tokens');
  const wanted = parameters(decoder).filter((parameter) => !parameter.frozen);
  const half = wanted.find(({ tensor }) => tensor.dtype !== 'f32');
  if (half) throw new TypeError(`${half.path} is ${half.tensor.dtype}: load the model with weights: 'f32' to differentiate it`);

  const { loss, gradients } = scope(() => {
    const step = new RowStep(device, sequences);
    const { rows, targets } = predictions(sequences);
    const ints = (values: number[]) => fromArray(device, [values.length], Int32Array.from(values));
    const { result, tape } = recordTape(() => crossEntropy(takeRows(decoder(step), ints(rows)), ints(targets)));
    const seed = fromArray(device, [1], Float32Array.of(1));
    return { loss: result, gradients: tape.backward([result], [seed], wanted.map(({ tensor }) => tensor)) };
  });
  const kept = [loss, ...gradients].filter((t): t is Tensor => t !== null).map((t) => t.retain());
  try {
    const byParameter = new Map(wanted.map((parameter, i) => [parameter, gradients[i]]));
    const named = new Map<string, Float32Array>();
    for (const [name, parts] of storedParts(decoder)) named.set(name, await assemble(parts, parts[0].piece.shape, (p) => valuesOf(byParameter, p)));
    return { loss: (await loss.toFloat32())[0], gradients: named };
  } finally {
    for (const tensor of kept) tensor.release();
  }
}

async function valuesOf(gradients: ReadonlyMap<Parameter, Tensor | null>, parameter: Parameter): Promise<Float32Array> {
  const gradient = gradients.get(parameter);
  return gradient ? gradient.toFloat32() : new Float32Array(elementCount(parameter.shape));
}

/** Rows of the packed logits that predict a token, and the tokens they predict. */
function predictions(sequences: readonly (readonly number[])[]): { rows: number[]; targets: number[] } {
  const [rows, targets]: number[][] = [[], []];
  let start = 0;
  for (const sequence of sequences) {
    for (let i = 0; i + 1 < sequence.length; i++) { rows.push(start + i); targets.push(sequence[i + 1]); }
    start += sequence.length;
  }
  return { rows, targets };
}
