// Runs a model's definition on shapes alone and keeps the list of calls it makes: the ground that
// every figure of the analysis stands on. No weights, no arithmetic.

import { MetaBackend } from '../backends/meta/index.js';
import { constants, parameters, walk } from '../nn/index.js';
import type { Decoder, KvCache, KvView, Parameter, Part, Step } from '../nn/index.js';
import { Device, empty, getOp, kvAppend, PAGE_TOKENS, scope } from '../tensor/index.js';
import type { BufferId, Call, Cost, DType, Spec, Tensor } from '../tensor/index.js';

/** A part of the tree that is not a list or missing. */
export type TreePart = Exclude<Part, null | readonly unknown[]>;

/** What the figures are derived from. */
export interface Execution {
  readonly decoder: Decoder;
  /** Every part with its path, parents first. */
  readonly tree: readonly (readonly [path: string, part: TreePart])[];
  readonly parameterOf: ReadonlyMap<BufferId, Parameter>;
  /** A pass in which each of `batch` sequences adds one token at `context`. */
  decode(context: number, batch: number): Pass;
  /** A pass over the first `tokens` tokens of one sequence. */
  prefill(tokens: number): Pass;
}

/** The calls of one pass, in order. */
export interface Pass {
  readonly calls: readonly Call[];
  /** The buffer that holds the tokens' positions. */
  readonly positions: BufferId;
}

/** Two bytes, as in the bf16 that the releases run with; this engine's own two-byte cache is f16. */
const KV_DTYPE: DType = 'f16';

/** Binds tensors without memory to a model's parameters, which the caller must not run elsewhere. */
export function execution(decoder: Decoder, specOf: (parameter: Parameter) => Spec): Execution {
  const backend = new MetaBackend();
  const device = new Device(backend);
  const parameterOf = new Map<BufferId, Parameter>();
  const tree = [...walk(decoder)];
  for (const parameter of parameters(decoder)) {
    const tensor = empty(device, specOf(parameter));
    parameter.bind(tensor);
    parameterOf.set(tensor.storage.id, parameter);
  }
  for (const constant of constants(decoder)) constant.bind(empty(device, { shape: [constant.values.length], dtype: 'f32' }));
  const run = (tokens: number, rows: number, context: number): Pass => {
    backend.calls.length = 0;
    const step = new MetaStep(device, tokens, rows, context);
    scope(() => { decoder(step); });
    return { calls: [...backend.calls], positions: step.positions.storage.id };
  };
  return {
    decoder, tree, parameterOf,
    decode: (context, batch) => run(batch, batch, context),
    prefill: (tokens) => run(tokens, 1, tokens),
  };
}

/** A step whose caches are pages without memory. */
class MetaStep implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows: Tensor;
  private readonly slots: Tensor;
  private readonly pageTable: Tensor;

  constructor(private readonly device: Device, tokens: number, rows: number, private readonly context: number) {
    const ints = (...shape: number[]) => empty(device, { shape, dtype: 'i32' });
    [this.tokens, this.positions, this.slots, this.outputRows] = [ints(tokens), ints(tokens), ints(tokens), ints(rows)];
    this.pageTable = ints(rows, this.pages);
  }

  append(cache: KvCache, rows: { k: Tensor; v?: Tensor }): KvView {
    const { positions, slots, pageTable } = this;
    const store = ([heads, width]: readonly [number, number], from: Tensor): Tensor => {
      const pages = empty(this.device, { shape: [this.pages, heads, PAGE_TOKENS, width], dtype: KV_DTYPE });
      kvAppend(pages, from, positions, slots, pageTable);
      return pages;
    };
    const k = store(cache.rows.k, rows.k);
    const v = cache.rows.v && rows.v ? store(cache.rows.v, rows.v) : k;
    return { kind: 'pages', k, v, positions, slots, pageTable, cache };
  }

  private get pages(): number {
    return Math.ceil(this.context / PAGE_TOKENS);
  }
}

/** What a pass computes and moves. */
export interface PassCost {
  /** Multiplications and additions, each counted. */
  readonly flops: { readonly total: number; readonly matrices: number; readonly attention: number; readonly other: number };
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Operations per byte moved: what a machine's FLOP/s over its bytes per second is compared with. */
  readonly intensity: number;
}

const MATRIX_OPS = new Set(['linear', 'expert_linear', 'head_linear', 'matmul']);

/**
 * Adds up the ops' own costs. In a decode step of a batch every sequence has a context of its own,
 * which the op's cost (of one sequence's tokens) cannot know: its attention is `batch` times one.
 */
export function costOf({ calls }: Pass, context: number, batch = 1): PassCost {
  const flops = { total: 0, matrices: 0, attention: 0, other: 0 };
  let [bytesRead, bytesWritten] = [0, 0];
  // Most layers make the same calls, and attention's cost is summed token by token.
  const known = new Map<string, Cost>();
  for (const call of calls) {
    const isAttention = call.op === 'paged_attention';
    const key = JSON.stringify([call.op, call.inputs.map(({ spec }) => spec), call.attrs]);
    const cost = known.get(key) ?? callCost(call, context, isAttention ? batch : 1);
    known.set(key, cost);
    flops.total += cost.flops;
    flops[isAttention ? 'attention' : MATRIX_OPS.has(call.op) ? 'matrices' : 'other'] += cost.flops;
    bytesRead += cost.bytesRead;
    bytesWritten += cost.bytesWritten;
  }
  return { flops, bytesRead, bytesWritten, intensity: flops.total / (bytesRead + bytesWritten) };
}

function callCost({ op, inputs, attrs }: Call, contextLength: number, times: number): Cost {
  const specs = inputs.map(({ spec }) => spec);
  if (times > 1) specs[0] = { ...specs[0], shape: [specs[0].shape[0] / times, ...specs[0].shape.slice(1)] };
  const { flops, bytesRead, bytesWritten } = getOp(op).cost(specs, attrs, { contextLength });
  return { flops: flops * times, bytesRead: bytesRead * times, bytesWritten: bytesWritten * times };
}
