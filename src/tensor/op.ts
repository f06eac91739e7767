// What an op is: everything about it but fast kernels. See ops/<name>.ts for each.

import type { Attrs } from './backend.js';
import type { Spec } from './dtype.js';
import type { Tensor } from './tensor.js';
import type { View } from './view.js';

export interface Cost { flops: number; bytesRead: number; bytesWritten: number }

/** What `cost` cannot see in shapes: how many tokens are in the cache when the call runs. */
export interface CostContext { contextLength: number }

/** What the tape kept for `vjp`: inputs and outputs by index, null where `saves` left them out. */
export interface Saved {
  input(index: number): Tensor;
  output(index: number): Tensor;
  /** Which inputs a gradient is wanted for: others may be returned as null, unpaid. */
  needs(index: number): boolean;
  /** Shapes are always known, even of what was not kept. */
  readonly inputSpecs: readonly Spec[];
}

export interface Op<A = Attrs> {
  readonly name: string;
  /** Output specs; throws with both shapes in the message. */
  infer(inputs: readonly Spec[], attrs: A): Spec[];
  /** Plain loops: the definition and the oracle. Accumulates in float64, stores float32. */
  reference(inputs: readonly View[], outputs: readonly View[], attrs: A): void;
  /** The same from smaller ops: the fallback of a backend without the kernel. */
  compose?(inputs: readonly Tensor[], attrs: A): Tensor[];
  /** Gradients of the inputs from those of the outputs (null: none). */
  vjp?(saved: Saved, cotangents: readonly (Tensor | null)[], attrs: A): (Tensor | null)[];
  /** Which tensors the tape keeps alive for `vjp`, nothing else. */
  readonly saves?: { readonly inputs?: readonly number[]; readonly outputs?: readonly number[] };
  /** Changes something beside its outputs (KV append): recomputation skips it. */
  readonly effect?: true;
  cost(inputs: readonly Spec[], attrs: A, context: CostContext): Cost;
}

const registry = new Map<string, Op>();

/** Registers an op under its name. */
export function defineOp<A extends object>(op: Op<A>): Op<A> {
  if (registry.has(op.name)) throw new Error(`op ${op.name} is defined twice`);
  registry.set(op.name, op as unknown as Op);
  return op;
}

export function getOp(name: string): Op {
  const op = registry.get(name);
  if (!op) throw new Error(`unknown op ${name}`);
  return op;
}

export function allOps(): Op[] {
  return [...registry.values()];
}

/** `[2, 3] f32`, for messages. */
export function describeSpec(spec: Spec): string {
  return `[${spec.shape.join(', ')}] ${spec.dtype}`;
}

/** Fails with the op's name and every input shape. */
export function shapeError(op: string, inputs: readonly Spec[], expected: string): never {
  throw new TypeError(`${op}: ${expected}, got ${inputs.map(describeSpec).join(' and ')}`);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}
