// What an optimiser is to the training loop: it is told which parameters there are, then gets their
// gradients step by step. Its state lives on the model's device under names, to be saved and restored.

import type { Parameter } from '../../nn/index.js';
import { elementCount, fromArray } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

export type Gradients = ReadonlyMap<Parameter, Tensor>;

/** How an optimiser updates parameters. Its tensors outlive scopes. */
export interface Updates {
  /** What the next steps depend on, by name: `mean.<path>`. */
  readonly state: ReadonlyMap<string, Tensor>;
  /**
   * Writes the numbers that differ from step to step: which step this is, from 1, and the learning
   * rate's share of its peak. All else that `apply` does is the same each time.
   */
  begin(step: number, schedule: number): void;
  /**
   * Moves the parameters where they lie, by ops alone. `clip` [1]: what gradients are multiplied by
   * first; below zero, nothing moves. Called within a scope.
   */
  apply(gradients: Gradients, clip: Tensor): void;
  dispose(): void;
}

export interface Optimizer {
  readonly name: string;
  /** Peak learning rate, of the matrices where groups have different ones. */
  readonly learningRate: number;
  /** Scores above this are clipped after each update (QK-Clip); undefined: never. */
  readonly scoreLimit?: number;
  /** Chooses how each parameter is updated, and makes its state. */
  prepare(parameters: readonly Parameter[]): Updates;
}

/** A tensor of zeros that outlives its scope. */
export function zeros({ device }: Tensor, shape: readonly number[]): Tensor {
  return fromArray(device, shape, new Float32Array(elementCount(shape))).retain();
}

/** Writes the numbers of a tensor that the caller owns. */
export function write({ device, storage }: Tensor, numbers: readonly number[]): void {
  device.backend.write(storage.id, 0, new Uint8Array(Float32Array.from(numbers).buffer));
}

/** Hidden matrices: not the embeddings, the head, norms or biases. */
export function isHiddenMatrix({ path, shape }: Parameter): boolean {
  return shape.length >= 2 && path.startsWith('layers.');
}
