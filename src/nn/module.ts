// Modules: a model is a tree of named parts and a forward function over them.
//
// Nothing here allocates. Parameters are declared with their shape and with how a checkpoint
// stores them; the engine binds tensors later. Part names are the checkpoint's names, so the path
// of a part is the name of its tensors. Loading, counting, drawing and tracing all walk this tree.

import { currentPath, withPath } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';

/**
 * One stored tensor that a parameter (or a slice of its first axis) is made of. Its name is
 * relative to the module that declares the parameter.
 */
export interface Piece {
  readonly name: string;
  /** As the checkpoint stores it. */
  readonly shape: readonly number[];
  /** Take only columns [start, start + length) of the stored last axis. */
  readonly columns?: readonly [start: number, length: number];
  /** Then swap the last two axes (weights stored [in, out]). */
  readonly transposed?: boolean;
}

/** How fresh weights are drawn: normal with this deviation, or a constant. */
export type Init = { readonly std: number } | { readonly constant: number };

export class Parameter {
  readonly kind = 'parameter';
  private bound: Tensor | undefined;
  path = '';

  constructor(
    readonly shape: readonly number[],
    /** Laid end to end they are the parameter; undefined: one tensor of the part's own name. */
    readonly pieces: readonly Piece[] | undefined,
    readonly init: Init,
    /** Moved by the trainer's rules, not by the loss (a routing bias). */
    readonly frozen: boolean,
    /** Never quantised while loading (a router). */
    readonly precise: boolean,
  ) {}

  get tensor(): Tensor {
    if (!this.bound) throw new Error(`parameter ${this.path || '(unnamed)'} has no weights yet`);
    return this.bound;
  }

  bind(tensor: Tensor | undefined): void {
    this.bound = tensor;
  }
}

/** Numbers that the definition itself gives (RoPE frequencies): bound like weights, never stored. */
export class Constant {
  readonly kind = 'constant';
  private bound: Tensor | undefined;
  path = '';

  constructor(readonly values: Float32Array) {}

  get tensor(): Tensor {
    if (!this.bound) throw new Error(`constant ${this.path || '(unnamed)'} is not bound yet`);
    return this.bound;
  }

  bind(tensor: Tensor | undefined): void {
    this.bound = tensor;
  }
}

export interface Module<P extends Parts = Parts> {
  readonly kind: 'module';
  readonly parts: P;
  path: string;
}

/** Anything that keeps something per token (see kv.ts). */
export interface CachePart { readonly kind: 'cache'; path: string }
export type Part = Module | Parameter | Constant | CachePart | readonly Module[] | null;
export type Parts = Readonly<Record<string, Part>>;

type Observer = (path: string, output: Tensor) => void;
let observer: Observer | undefined;

/** Calls `see` with the output of every module that runs inside `body`. */
export function observe<T>(see: Observer, body: () => T): T {
  const outer = observer;
  observer = see;
  try {
    return body();
  } finally {
    observer = outer;
  }
}

/** Reports a value that is no module's output (`embeddings`, `logits`) to the observer. */
export function report(path: string, output: Tensor): void {
  observer?.(path, output);
}

/** A part with a forward pass. `forward` gets the parts first, then the caller's arguments. */
export function module<P extends Parts, A extends unknown[], R>(parts: P, forward: (parts: P, ...args: A) => R): ((...args: A) => R) & Module<P> {
  const run = (...args: A): R => withPath(run.path || currentPath(), () => {
    const output = forward(parts, ...args);
    if (observer && isTensor(output)) observer(run.path, output);
    return output;
  });
  run.kind = 'module' as const;
  run.parts = parts;
  run.path = '';
  return run;
}

function isTensor(value: unknown): value is Tensor {
  return value !== null && typeof value === 'object' && 'spec' in value && 'storage' in value;
}

export interface ParamOptions { pieces?: readonly Piece[]; init?: Init; frozen?: boolean; precise?: boolean }

/** Declares a parameter. */
export function param(shape: readonly number[], { pieces, init = { std: 0.02 }, frozen = false, precise = false }: ParamOptions = {}): Parameter {
  return new Parameter(shape, pieces, init, frozen, precise);
}

/** Every part of the tree with its path, parents before children. Also tells each part its path. */
export function* walk(root: Module, prefix = ''): Generator<[path: string, part: Exclude<Part, null | readonly Module[]>]> {
  const join = (name: string) => (prefix ? `${prefix}.${name}` : name);
  for (const [name, part] of Object.entries(root.parts)) {
    if (part === null) continue;
    const entries: [string, Exclude<Part, null | readonly Module[]>][] = Array.isArray(part)
      ? (part as readonly Module[]).map((item, i) => [join(`${name}.${i}`), item])
      : [[join(name), part as Exclude<Part, null | readonly Module[]>]];
    for (const [path, item] of entries) {
      item.path = path;
      yield [path, item];
      if (item.kind === 'module') yield* walk(item, path);
    }
  }
}

/** All parameters, in definition order. */
export function parameters(root: Module): Parameter[] {
  return [...walk(root)].map(([, part]) => part).filter((part) => part.kind === 'parameter') as Parameter[];
}

/** All constants. */
export function constants(root: Module): Constant[] {
  return [...walk(root)].map(([, part]) => part).filter((part) => part.kind === 'constant') as Constant[];
}

/** The stored tensors of a parameter, under full names in the tree's own naming. */
export function storedPieces(parameter: Parameter): Piece[] {
  const owner = parameter.path.slice(0, parameter.path.lastIndexOf('.') + 1);
  if (!parameter.pieces) return [{ name: parameter.path, shape: parameter.shape }];
  return parameter.pieces.map((piece) => ({ ...piece, name: owner + piece.name }));
}
