// What an optimiser is to the training loop: it is told which parameters there are, then gets their
// gradients step by step. Its state lives on the model's device under names, to be saved and restored.

import type { Parameter } from '../../nn/index.js';
import { elementCount, fromArray } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

export interface UpdateOptions {
  /** From 1: which update this is. */
  readonly step: number;
  /** The learning rate's share of its peak, from the schedule. */
  readonly schedule: number;
  /** Gradients are multiplied by this first (clipping). */
  readonly gradientScale: number;
}

/** How an optimiser updates one parameter. Its tensors outlive scopes; `state` names them. */
export interface ParameterUpdate {
  readonly state: Readonly<Record<string, Tensor>>;
  /** Moves the parameter where it lies. Called within a scope. */
  update(gradient: Tensor, options: UpdateOptions): void;
}

export interface Optimizer {
  readonly name: string;
  /** Peak learning rate, of the matrices where groups have different ones. */
  readonly learningRate: number;
  /** Scores above this are clipped after each update (QK-Clip); undefined: never. */
  readonly scoreLimit?: number;
  /** Chooses how each parameter is updated, and makes its state. */
  prepare(parameter: Parameter): ParameterUpdate;
}

/** A tensor of zeros that outlives its scope. */
export function zeros({ tensor }: Parameter): Tensor {
  return fromArray(tensor.device, tensor.shape, new Float32Array(elementCount(tensor.shape))).retain();
}

/** Hidden matrices: not the embeddings, the head, norms or biases. */
export function isHiddenMatrix({ path, shape }: Parameter): boolean {
  return shape.length >= 2 && path.startsWith('layers.');
}
