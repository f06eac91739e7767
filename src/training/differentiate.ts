// One forward and backward pass on the device: the loss, the gradient of every trained parameter, and
// what optimisers ask to see on the way (largest scores per head, how experts are loaded).

import type { Engine } from '../engine/index.js';
import { observeRouting, parameters } from '../nn/index.js';
import type { KvCache, Parameter, Routing } from '../nn/index.js';
import { add, crossEntropy, recordTape, scale, scope } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import { balanceLoss, expertLoads, sequenceBalanceLoss } from './balance.js';
import { Batch } from './batch.js';
import type { Sequences } from './batch.js';
import { RowStep } from './row_step.js';

export interface DifferentiateOptions {
  /** Coefficient of the load-balancing loss; 0 or absent: none. */
  readonly balance?: number;
  /** Whether that loss is DeepSeek's, by sequence. */
  readonly bySequence?: boolean;
  /** Whether to record each attention's largest score per head. */
  readonly scores?: boolean;
  /** Whether to count how often each expert of a biased router was chosen. */
  readonly loads?: boolean;
  /** 'layers': keeps only what goes into each layer, and computes the rest again on the way back. */
  readonly recompute?: 'layers';
}

/** What a step is reported by. */
export interface Reported {
  /** Mean next-token cross-entropy, [1]. */
  readonly loss: Tensor;
  /** Load-balancing loss before its coefficient, [1]; undefined without routers or coefficient. */
  readonly balance?: Tensor;
  /** Largest score of each query head [N]. */
  readonly scores: ReadonlyMap<KvCache, Tensor>;
}

/** All tensors belong to whoever asked: `release` each, or let `disposePass` do it. */
export interface Pass extends Reported {
  /** Null where the loss does not reach the parameter. */
  readonly gradients: ReadonlyMap<Parameter, Tensor | null>;
  /** Times each expert was chosen [E], by the bias that balances them. */
  readonly loads: ReadonlyMap<Parameter, Tensor>;
}

/** The parameters that gradients move: all but those that rules move. */
export function trained({ decoder }: Engine): Parameter[] {
  const wanted = parameters(decoder).filter((parameter) => !parameter.frozen);
  const half = wanted.find(({ tensor }) => tensor.dtype !== 'f32');
  if (half) throw new TypeError(`${half.path} is ${half.tensor.dtype}: load the model with weights: 'f32' to differentiate it`);
  return wanted;
}

/** Throws unless every sequence has at least two tokens of the vocabulary. */
export function checkSequences({ runner }: Engine, sequences: Sequences): void {
  for (const sequence of sequences) runner.checkTokens(sequence);
  if (sequences.length === 0 || sequences.some((s) => s.length < 2)) throw new RangeError('training needs sequences of at least two tokens');
}

/** Runs the model on a batch and back. Nothing waits here: results are read later. */
export function differentiate(engine: Engine, batch: Batch, { balance = 0, bySequence, scores, loads, recompute }: DifferentiateOptions = {}): Pass {
  const wanted = trained(engine);
  return keepPass(scope(() => {
    const largest = scores ? new Map<KvCache, Tensor>() : undefined;
    const step = new RowStep(batch, { largest, recompute: recompute === 'layers' });
    const routings: Routing[] = [];
    const { result, tape } = recordTape(() => {
      const logits = routed(balance > 0 || loads === true, routings, () => engine.decoder(step));
      const loss = crossEntropy(logits, batch.targets);
      const uneven = balance > 0 && routings.length > 0 ? (bySequence ? sequenceBalanceLoss(routings, batch.starts) : balanceLoss(routings)) : undefined;
      // While the tape keeps what the routers chose: going back lets go of it.
      const counts = loads ? routings.flatMap((routing) => (routing.bias ? [[routing.bias, expertLoads(routing)] as const] : [])) : [];
      return { loss, uneven, counts, total: uneven ? add(loss, scale(uneven, balance)) : loss };
    });
    const gradients = tape.backward([result.total], [batch.seed], wanted.map(({ tensor }) => tensor));
    return {
      loss: result.loss, balance: result.uneven, gradients: new Map(wanted.map((parameter, i) => [parameter, gradients[i]])),
      scores: largest ?? new Map<KvCache, Tensor>(), loads: new Map(result.counts),
    };
  }));
}

/** The loss alone, by predicted token. */
export async function meanLoss(engine: Engine, sequences: Sequences): Promise<{ loss: number; tokens: number }> {
  checkSequences(engine, sequences);
  const batch = new Batch(engine.device, sequences);
  const loss = scope(() => crossEntropy(engine.decoder(new RowStep(batch)), batch.targets).retain());
  try {
    return { loss: (await loss.toFloat32())[0], tokens: batch.rows };
  } finally {
    loss.release();
    batch.dispose();
  }
}

/** Makes everything a pass holds outlive its scope. */
export function keepPass(pass: Pass): Pass {
  for (const tensor of tensorsOf(pass)) tensor.retain();
  return pass;
}

/** Lets go of everything a pass holds. */
export function disposePass(pass: Pass): void {
  for (const tensor of tensorsOf(pass)) tensor.release();
}

export function reportedTensors({ loss, balance, scores }: Reported): Tensor[] {
  return [loss, ...(balance ? [balance] : []), ...scores.values()];
}

function tensorsOf(pass: Pass): Tensor[] {
  return [...reportedTensors(pass), ...pass.loads.values(), ...pass.gradients.values()].filter((tensor) => tensor !== null);
}

function routed<T>(wanted: boolean, routings: Routing[], body: () => T): T {
  return wanted ? observeRouting((routing) => routings.push(routing), body) : body();
}
