// One optimiser step at a time: gradients over one or more batches, clipping by norm, the update, and
// what goes with it (QK-Clip, moving routing biases). Knows nothing of files, text or time.

import type { Model } from '../model.js';
import { parameters } from '../nn/index.js';
import type { Parameter } from '../nn/index.js';
import { add, clipScale, copyInto, fromBytes, maximum, moveBias, scale, scope, sumSquares } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import { Batch, predictedTokens } from './batch.js';
import type { Sequences } from './batch.js';
import { checkSequences, differentiate, disposePass, keepPass, reportedTensors, trained } from './differentiate.js';
import type { Pass, Reported } from './differentiate.js';
import { zeros } from './optimizers/optimizer.js';
import type { Optimizer, Updates } from './optimizers/optimizer.js';
import { clippedHeads, qkClip } from './optimizers/qk_clip.js';
import { RecordedStep } from './recorded_step.js';

export interface TrainerOptions {
  readonly optimizer: Optimizer;
  /** Largest norm of all gradients together; more is scaled down. 1 by default, Infinity: never. */
  readonly clipNorm?: number;
  /**
   * Coefficient of the load-balancing loss; what the model's config says by default (`router_aux_loss_coef` or
   * `aux_loss_alpha`), but 0 where routers have a bias and the loss is not by sequence.
   */
  readonly balance?: number;
  /** Whether that loss is DeepSeek's, by sequence; what the config's `seq_aux` says by default. */
  readonly balanceBySequence?: boolean;
  /** How far a routing bias moves per step; 1e-3 by default (DeepSeek V3). */
  readonly biasRate?: number;
  /**
   * What the operands of matrix products are rounded to where the device multiplies such faster: f16 by
   * default, as PyTorch's tf32 of as many bits. Sums, weights, gradients and the optimiser's state are float32.
   */
  readonly precision?: 'f16' | 'f32';
  /** Records the largest attention score also where the optimiser does not clip. */
  readonly scores?: boolean;
  /** 'layers': less memory for about a third more work, and the very same numbers (see differentiate.ts). */
  readonly recompute?: 'layers';
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

export class Trainer {
  private readonly parameters: readonly Parameter[];
  private readonly updates: Updates;
  private readonly balance: number;
  private readonly bySequence: boolean;
  /** Sums of squares of the gradients, in the order of `parameters`. */
  private readonly squares: Tensor;
  private recorded: RecordedStep | undefined;
  private lastTokens = 0;
  private done = 0;

  constructor(readonly model: Model, private readonly options: TrainerOptions) {
    this.parameters = trained(model.engine);
    this.updates = options.optimizer.prepare(this.parameters);
    this.squares = zeros(this.parameters[0].tensor, [this.parameters.length]);
    this.bySequence = options.balanceBySequence ?? textConfig(model).seq_aux === true;
    this.balance = options.balance ?? configuredBalance(model, this.bySequence);
  }

  /** Steps made so far. */
  get step(): number { return this.done; }

  /**
   * One update from the gradients of all `batches` together, weighed by their tokens.
   * `schedule`: the learning rate's share of its peak. Rejects with DivergedError, the model as it was.
   * All of a step follows on the device; its figures are read at the end.
   */
  async update(batches: readonly Sequences[], schedule = 1): Promise<StepResult> {
    if (batches.length === 0) throw new RangeError('a step needs at least one batch');
    for (const batch of batches) checkSequences(this.model.engine, batch);
    const step = this.done + 1;
    const tokens = batches.reduce((sum, batch) => sum + predictedTokens(batch), 0);
    this.updates.begin(step, schedule);
    const reported = this.rounding(() => (batches.length === 1 ? this.once(batches[0]) : this.eagerly(batches, tokens)));
    try {
      const figures = await this.figuresOf(reported, step);
      this.done = step;
      return { step, ...figures, learningRate: this.options.optimizer.learningRate * schedule, tokens };
    } finally {
      for (const tensor of reportedTensors(reported)) tensor.release();
    }
  }

  /**
   * A step of one batch. Where the caller's time counts, because work goes on elsewhere meanwhile, the
   * second in a row with as many tokens is recorded, and replayed from then on.
   */
  private once(batch: Sequences): Reported {
    const { device } = this.model.engine;
    const tokens = predictedTokens(batch);
    if (this.recorded?.rows !== tokens && this.lastTokens === tokens && (device.backend.stepsAhead ?? 1) > 1) {
      this.recorded?.dispose();
      this.recorded = RecordedStep.record(device, batch, (on) => this.all([on], tokens));
    }
    this.lastTokens = tokens;
    if (this.recorded?.rows !== tokens) return this.eagerly([batch], tokens);
    this.recorded.replay(batch);
    const { reported } = this.recorded;
    for (const tensor of reportedTensors(reported)) tensor.retain();
    return reported;
  }

  /** Runs `body` while the backend may round what products take. */
  private rounding<T>(body: () => T): T {
    const { backend } = this.model.engine.device;
    if (backend.roundsFloats === undefined || this.options.precision === 'f32') return body();
    const before = backend.roundsFloats;
    backend.roundsFloats = true;
    try {
      return body();
    } finally {
      backend.roundsFloats = before;
    }
  }

  private eagerly(sequences: readonly Sequences[], tokens: number): Reported {
    const batches = sequences.map((each) => new Batch(this.model.engine.device, each));
    const reported = this.all(batches, tokens);
    for (const batch of batches) batch.dispose();
    return reported;
  }

  /** Everything of a step; what it is reported by belongs to the caller. */
  private all(batches: readonly Batch[], tokens: number): Reported {
    const pass = this.passOver(batches, tokens);
    scope(() => this.move(pass));
    const { loss, balance, scores } = pass;
    for (const tensor of reportedTensors(pass)) tensor.retain();
    disposePass(pass);
    return { loss, balance, scores };
  }

  /** Gradients of all batches together. */
  private passOver([first, ...rest]: readonly Batch[], tokens: number): Pass {
    const share = (batch: Batch): Pass => {
      const pass = differentiate(this.model.engine, batch, { balance: this.balance, bySequence: this.bySequence, scores: this.watchesScores, loads: true, recompute: this.options.recompute });
      return rest.length === 0 ? pass : replaced([pass], () => weighed(pass, batch.rows / tokens));
    };
    let sum = share(first);
    for (const batch of rest) {
      const [before, pass] = [sum, share(batch)];
      sum = replaced([before, pass], () => together(before, pass));
    }
    return sum;
  }

  /** Moves everything that a step moves: parameters, routing biases, heads with too large scores. */
  private move({ loss, gradients, loads, scores }: Pass): void {
    const { optimizer: { scoreLimit }, clipNorm = 1, biasRate = 1e-3 } = this.options;
    const present = new Map([...gradients].filter((entry): entry is [Parameter, Tensor] => entry[1] !== null));
    this.parameters.forEach((parameter, i) => { if (present.has(parameter)) sumSquares(this.squares, present.get(parameter)!, i); });
    const clip = clipScale(this.squares, loss, clipNorm);
    this.updates.apply(present, clip);
    for (const [bias, counts] of loads) moveBias(bias.tensor, counts, clip, biasRate);
    if (scoreLimit !== undefined) for (const [cache, largest] of scores) qkClip(cache, largest, scoreLimit, clip);
  }

  /** Reads what a step is reported by; rejects where it is not finite. */
  private async figuresOf({ loss, balance, scores }: Reported, step: number): Promise<Pick<StepResult, 'loss' | 'balanceLoss' | 'gradientNorm' | 'largestScore' | 'clippedHeads'>> {
    const caches = [...scores.keys()];
    const [[mean], [uneven], squares, ...largest] = await Promise.all([loss, balance ?? loss, this.squares, ...scores.values()].map((tensor) => tensor.toFloat32()));
    const bad = squares.findIndex((square) => !Number.isFinite(square));
    if (!Number.isFinite(mean) || bad >= 0) {
      const where = bad >= 0 ? `; the gradient of ${this.parameters[bad].path} is not finite` : '';
      throw new DivergedError(`step ${step}: the loss is ${mean}${where}. A lower learning rate or a longer warm-up may help`);
    }
    const { scoreLimit } = this.options.optimizer;
    return {
      loss: mean, ...(balance ? { balanceLoss: uneven } : {}), gradientNorm: Math.sqrt(squares.reduce((sum, square) => sum + square, 0)),
      ...(this.watchesScores ? { largestScore: largest.reduce((top, each) => Math.max(top, ...each), -Infinity) } : {}),
      ...(scoreLimit === undefined ? {} : { clippedHeads: caches.reduce((sum, cache, i) => sum + clippedHeads(cache, largest[i], scoreLimit), 0) }),
    };
  }

  private get watchesScores(): boolean {
    return this.options.scores === true || this.options.optimizer.scoreLimit !== undefined;
  }

  /** Everything that a later run needs to go on exactly: weights and the optimiser's state, by name. */
  state(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const { path, tensor } of parameters(this.model.engine.decoder)) tensors.set(`weight.${path}`, tensor);
    for (const [name, tensor] of this.updates.state) tensors.set(name, tensor);
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
    this.recorded?.dispose();
    this.updates.dispose();
    this.squares.release();
  }
}

/** The pass that `body` makes of others, which are let go of. */
function replaced(passes: readonly Pass[], body: () => Pass): Pass {
  const made = keepPass(scope(body));
  for (const pass of passes) disposePass(pass);
  return made;
}

/** A pass's share of a step. */
function weighed(pass: Pass, share: number): Pass {
  const part = (x: Tensor): Tensor => scale(x, share);
  return { ...pass, loss: part(pass.loss), balance: pass.balance && part(pass.balance), gradients: new Map([...pass.gradients].map(([parameter, gradient]) => [parameter, gradient && part(gradient)])) };
}

/** Two shares of one step. */
function together(a: Pass, b: Pass): Pass {
  const sum = (x: Tensor | null | undefined, y: Tensor | null | undefined) => (x && y ? add(x, y) : x ?? y);
  const merged = <K>(x: ReadonlyMap<K, Tensor>, y: ReadonlyMap<K, Tensor>, merge: (p: Tensor, q: Tensor) => Tensor) => new Map([...x].map(([key, value]) => [key, merge(value, y.get(key)!)]));
  return {
    loss: add(a.loss, b.loss), balance: sum(a.balance, b.balance) ?? undefined,
    gradients: new Map([...a.gradients].map(([parameter, gradient]) => [parameter, sum(gradient, b.gradients.get(parameter)) ?? null])),
    scores: merged(a.scores, b.scores, maximum), loads: merged(a.loads, b.loads, add),
  };
}

const textConfig = ({ config }: Model): Record<string, unknown> => (config.text_config ?? config) as Record<string, unknown>;

/** The coefficient that the config carries; a routing bias does the balancing of all sequences together. */
function configuredBalance(model: Model, bySequence: boolean): number {
  if (!bySequence && parameters(model.engine.decoder).some(({ frozen }) => frozen)) return 0;
  const { router_aux_loss_coef: ofRouter, aux_loss_alpha: alpha } = textConfig(model);
  const value = ofRouter ?? alpha;
  return typeof value === 'number' ? value : 0;
}
