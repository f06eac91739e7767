// One optimiser step at a time: gradients over one or more batches, clipping by norm, the update, and
// what goes with it (QK-Clip, moving routing biases). Knows nothing of files, text or time.

import type { Model } from '../model.js';
import { parameters } from '../nn/index.js';
import type { KvCache, Parameter } from '../nn/index.js';
import { add, copyInto, fromBytes, scale, scope, sumSquares } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import { moveBias } from './balance.js';
import { checkSequences, differentiate, disposePass, predictedTokens, trained } from './differentiate.js';
import type { Sequences } from './differentiate.js';
import type { Optimizer, ParameterUpdate } from './optimizers/optimizer.js';
import { qkClip } from './optimizers/qk_clip.js';

export interface TrainerOptions {
  readonly optimizer: Optimizer;
  /** Largest norm of all gradients together; more is scaled down. 1 by default, Infinity: never. */
  readonly clipNorm?: number;
  /** Coefficient of the load-balancing loss; what the model's config says by default, 0 where routers have a bias. */
  readonly balance?: number;
  /** How far a routing bias moves per step; 1e-3 by default (DeepSeek V3). */
  readonly biasRate?: number;
  /** Records the largest attention score also where the optimiser does not clip. */
  readonly scores?: boolean;
}

export interface StepResult {
  /** From 1. */
  readonly step: number;
  /** Mean next-token cross-entropy over all predicted tokens, before the update. */
  readonly loss: number;
  /** Load-balancing loss before its coefficient, where there is one. */
  readonly balanceLoss?: number;
  readonly learningRate: number;
  /** Of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** Predicted tokens. */
  readonly tokens: number;
  /** Largest attention score of the step, where recorded. */
  readonly largestScore?: number;
  /** Heads that QK-Clip shrank. */
  readonly clippedHeads?: number;
}

/** A loss or gradient that is no number any more: names the step and the tensor. */
export class DivergedError extends Error {
  override readonly name = 'DivergedError';
}

/** What batches of one step add up to: gradients on the device, everything else as numbers. */
interface Sum {
  loss: number;
  balanceLoss: number | undefined;
  gradients: Map<Parameter, Tensor | null>;
  readonly scores: Map<KvCache, Float32Array>;
  readonly loads: Map<Parameter, Float32Array>;
}

export class Trainer {
  private readonly updates: ReadonlyMap<Parameter, ParameterUpdate>;
  private readonly balance: number;
  private done = 0;

  constructor(readonly model: Model, private readonly options: TrainerOptions) {
    const { optimizer } = options;
    this.updates = new Map(trained(model.engine).map((parameter) => [parameter, optimizer.prepare(parameter)]));
    this.balance = options.balance ?? configuredBalance(model);
  }

  /** Steps made so far. */
  get step(): number { return this.done; }

  /**
   * One update from the gradients of all `batches` together, weighed by their tokens.
   * `schedule`: the learning rate's share of its peak. Rejects with DivergedError, the model as it was.
   */
  async update(batches: readonly Sequences[], schedule = 1): Promise<StepResult> {
    const { optimizer, clipNorm = 1, biasRate = 1e-3 } = this.options;
    if (batches.length === 0) throw new RangeError('a step needs at least one batch');
    for (const batch of batches) checkSequences(this.model.engine, batch);
    const step = this.done + 1;
    const tokens = batches.reduce((sum, batch) => sum + predictedTokens(batch), 0);
    const sum: Sum = { loss: 0, balanceLoss: undefined, gradients: new Map(), scores: new Map(), loads: new Map() };
    try {
      for (const batch of batches) await this.accumulate(sum, batch, predictedTokens(batch) / tokens);
      const gradientNorm = await gradientNormOf(sum, step);
      const gradientScale = gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
      for (const [parameter, update] of this.updates) {
        const gradient = sum.gradients.get(parameter);
        if (gradient) scope(() => update.update(gradient, { step, schedule, gradientScale }));
      }
      scope(() => { for (const [bias, counts] of sum.loads) moveBias(bias, counts, biasRate); });
      this.done = step;
      return {
        step, loss: sum.loss, ...(sum.balanceLoss === undefined ? {} : { balanceLoss: sum.balanceLoss }),
        learningRate: optimizer.learningRate * schedule, gradientNorm, tokens, ...this.clipScores(sum.scores),
      };
    } finally {
      for (const gradient of sum.gradients.values()) gradient?.release();
    }
  }

  private async accumulate(sum: Sum, batch: Sequences, share: number): Promise<void> {
    const pass = differentiate(this.model.engine, batch, { balance: this.balance, scores: this.watchesScores, loads: true });
    try {
      const before = sum.gradients;
      sum.gradients = scope(() => new Map([...pass.gradients].map(([parameter, gradient]) => [parameter, weighedSum(before.get(parameter), gradient, share)])));
      for (const gradient of sum.gradients.values()) gradient?.retain();
      for (const gradient of before.values()) gradient?.release();
      sum.loss += share * await numberOf(pass.loss);
      if (pass.balance) sum.balanceLoss = (sum.balanceLoss ?? 0) + share * await numberOf(pass.balance);
      for (const [cache, scores] of pass.scores) fold(sum.scores, cache, await scores.toFloat32(), Math.max);
      for (const [bias, loads] of pass.loads) fold(sum.loads, bias, await loads.toFloat32(), (a, b) => a + b);
    } finally {
      disposePass(pass);
    }
  }

  private get watchesScores(): boolean {
    return this.options.scores === true || this.options.optimizer.scoreLimit !== undefined;
  }

  private clipScores(scores: ReadonlyMap<KvCache, Float32Array>): Pick<StepResult, 'largestScore' | 'clippedHeads'> {
    if (!this.watchesScores) return {};
    const { scoreLimit } = this.options.optimizer;
    let [largestScore, clippedHeads] = [-Infinity, 0];
    for (const [cache, largest] of scores) {
      largestScore = Math.max(largestScore, ...largest);
      if (scoreLimit !== undefined) clippedHeads += qkClip(cache, largest, scoreLimit);
    }
    return { largestScore, ...(scoreLimit === undefined ? {} : { clippedHeads }) };
  }

  /** Everything that a later run needs to go on exactly: weights and the optimiser's state, by name. */
  state(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const { path, tensor } of parameters(this.model.engine.decoder)) tensors.set(`weight.${path}`, tensor);
    for (const [{ path }, { state }] of this.updates) for (const [name, tensor] of Object.entries(state)) tensors.set(`${name}.${path}`, tensor);
    return tensors;
  }

  /** Takes over a state that `state` named, after `step` steps. Throws where a tensor is missing or of another size. */
  async restore(step: number, read: (name: string) => Promise<Uint8Array | undefined>): Promise<void> {
    for (const [name, tensor] of this.state()) {
      const bytes = await read(name);
      if (!bytes) throw new Error(`the saved training state has no ${name}: it is of another model or optimizer`);
      scope(() => copyInto(tensor, fromBytes(tensor.device, tensor.spec, bytes)));
    }
    this.done = step;
  }

  /** Frees the optimiser's state; the model stays. */
  dispose(): void {
    for (const { state } of this.updates.values()) for (const tensor of Object.values(state)) tensor.release();
  }
}

const numberOf = async (tensor: Tensor): Promise<number> => (await tensor.toFloat32())[0];

function weighedSum(before: Tensor | null | undefined, gradient: Tensor | null, share: number): Tensor | null {
  const weighed = gradient && share !== 1 ? scale(gradient, share) : gradient;
  return before && weighed ? add(before, weighed) : before ?? weighed;
}

function fold<K>(into: Map<K, Float32Array>, key: K, values: Float32Array, merge: (a: number, b: number) => number): void {
  const before = into.get(key);
  into.set(key, before ? before.map((value, i) => merge(value, values[i])) : values);
}

/** Norm of all gradients together; rejects where the loss or one of them is not finite. */
async function gradientNormOf({ loss, gradients }: Sum, step: number): Promise<number> {
  const present = [...gradients].filter((entry): entry is [Parameter, Tensor] => entry[1] !== null);
  const squares = scope(() => present.map(([, gradient]) => sumSquares(gradient)).map((square) => square.retain()));
  try {
    const values: number[] = [];
    for (const square of squares) values.push(await numberOf(square));
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (!Number.isFinite(loss) || bad >= 0) {
      const where = bad >= 0 ? `; the gradient of ${present[bad][0].path} is not finite` : '';
      throw new DivergedError(`step ${step}: the loss is ${loss}${where}. A lower learning rate or a longer warm-up may help`);
    }
    return Math.sqrt(values.reduce((sum, value) => sum + value, 0));
  } finally {
    for (const square of squares) square.release();
  }
}

/** The coefficient that the config carries, where no routing bias does the balancing. */
function configuredBalance({ config, engine }: Model): number {
  if (parameters(engine.decoder).some(({ frozen }) => frozen)) return 0;
  const text = (config.text_config ?? config) as Record<string, unknown>;
  const value = text.router_aux_loss_coef ?? text.aux_loss_alpha;
  return typeof value === 'number' ? value : 0;
}
