// What a GPU kernel is to the host: when it applies, and what one call of it dispatches.

import { bitsFromF32, elementCount } from '../../tensor/index.js';
import type { Attrs, Call, DType, Operand, Spec } from '../../tensor/index.js';
import type { Parameters } from './template.js';

/** What a dispatch sees of a buffer: from `offset` bytes on, where a tensor is too large to be seen whole. */
export interface Bound extends Operand { readonly offset?: number }

/** One dispatch of a kernel file. Bindings: 0 the constants, then `writes`, `reads` and `alsoWrites`. */
export interface Dispatch {
  /** Name of the kernel file, without its ending. */
  readonly source: string;
  readonly parameters?: Parameters;
  readonly writes: readonly Bound[];
  readonly reads: readonly Bound[];
  readonly alsoWrites?: readonly Bound[];
  /** The constants as 32-bit patterns, in the order of the kernel's Params (see `float`). */
  readonly constants: readonly number[];
  readonly groups: number;
  /** Lanes per workgroup: the constant GROUP. */
  readonly group: number;
  /** False for a dispatch that leaves it to a later one of its call to report faults, and does not bind their words. */
  readonly reports?: boolean;
}

/** What kernels may make use of, beyond what every device has. */
export interface Capabilities {
  /** Most bytes of a buffer that a kernel sees at once. */
  readonly bindingBytes: number;
  /** Bytes of workgroup memory; 16 KiB are certain. */
  readonly workgroupBytes: number;
  /** Workgroups that keep the device at work: hundreds on a GPU, a few where a processor plays one. */
  readonly busyGroups: number;
  /** Storage buffers that a kernel may bind; 8 are certain. */
  readonly storageBuffers: number;
  /** Lanes of every subgroup, neighbours in order; 1 where that was not found to be so (see subgroups.ts), or there are no subgroup operations. */
  readonly subgroupLanes: number;
  /** Whether activations are quantised for block formats that integers can be multiplied with. */
  readonly integerProducts: boolean;
  /** Workgroups of so many lanes that run at the same time, however long, where that was found out (see residency.ts). Tests limit the stages of a chain, and how often a workgroup looks for what others send. */
  readonly together?: { readonly groups: number; readonly lanes: number; readonly stages?: number; readonly looks?: number };
  /** Matrix units, where they were found to compute what they should (see matrix_units.ts). */
  readonly matrix?: MatrixUnit;
  /** Whether float32 matrices may be rounded to f16, each under a scale of its own, for products on matrix units. */
  readonly roundsFloats?: boolean;
}

/** What subgroups multiply at once: f16 [m, k] by [k, n], added to float32 [m, n]. */
export interface MatrixUnit {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Lanes of every subgroup. */
  readonly subgroup: number;
  /** Whether they load from workgroup memory that was filled in vectors. */
  readonly vectors: boolean;
  /** Whether the distance between rows there is counted in numbers, not in vectors. */
  readonly strideInNumbers: boolean;
  /** Whether products of matrices that lie by columns, as those of gradients do, proved right too. */
  readonly tall: boolean;
  /** Whether attention on them proved right too. */
  readonly attention: boolean;
}

export interface Kernel {
  /** Whether the kernel reads these types, on this device; shapes were checked by the op's `infer`. */
  accepts(inputs: readonly Spec[], attrs: Attrs, device: Capabilities): boolean;
  /**
   * One dispatch, or several that run in order and may hand each other results in scratch memory.
   * `fault`: the word through which the kernel reports what it cannot do.
   */
  dispatch(call: Call, fault: number, device: Capabilities): Dispatch | readonly Dispatch[];
  /** Present where the kernel reports faults: what the reported number means. */
  fault?(value: number): string;
}

export const LANES = 64;

/** Memory that lives as long as one call's dispatches; `index` tells several of a call apart. */
export const scratch = (index: number, spec: Spec): Operand => ({ buffer: -1 - index, spec });

export const isScratch = ({ buffer }: Operand): boolean => buffer < 0;

/** A constant that the kernel reads as f32. */
export const float = bitsFromF32;

export const count = (operand: Operand): number => elementCount(operand.spec.shape);

/** Rows (all axes but the last) and columns of a tensor. */
export function rowsAndColumns({ spec }: Operand): { rows: number; columns: number } {
  const columns = spec.shape.at(-1) ?? 1;
  return { rows: elementCount(spec.shape) / columns, columns };
}

/** Accepts inputs of exactly these types; types beyond `required` are optional inputs. */
export function typed(types: readonly DType[], required = types.length) {
  return (inputs: readonly Spec[]): boolean =>
    inputs.length >= required && inputs.length <= types.length && inputs.every((spec, i) => spec.dtype === types[i]);
}
