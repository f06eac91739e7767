// What a page and the worker that runs its model say to each other. Everything here survives
// postMessage: errors go as plain objects and come back as what they were.

import { CheckpointError } from '../checkpoint/error.js';
import type { LoadOptions, Prompt } from '../model.js';
import type { GenerateOptions } from '../generate/index.js';
import { ConfigError } from '../models/index.js';
import { WeightsError } from '../engine/index.js';

/** What can be sent: a URL or hub id, or files. */
export type PageSource = string | readonly Blob[];

/** Options without what only exists in the page. */
export type Sendable<Options> = Omit<Options, 'signal' | 'onProgress' | 'onWarning'>;

export type Call =
  | { readonly method: 'load'; readonly source: PageSource; readonly options: Sendable<LoadOptions> }
  | { readonly method: 'logits'; readonly ids: readonly number[] }
  | { readonly method: 'trace'; readonly ids: readonly number[]; readonly capture?: readonly string[] }
  /** Makes a generator, known by the call's id. */
  | { readonly method: 'generate'; readonly prompt: Prompt; readonly options: Sendable<GenerateOptions> }
  | { readonly method: 'next'; readonly generator: number };

/** `abort` ends a load or a generator early and is not answered; calls are, in any order. */
export type ToWorker = (Call & { readonly id: number }) | { readonly method: 'abort'; readonly generator: number };

export type FromWorker =
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'progress'; readonly progress: Parameters<NonNullable<LoadOptions['onProgress']>>[0] }
  | { readonly kind: 'warning'; readonly message: string };

/** What the page is told about a loaded model. */
export interface LoadedFacts {
  readonly name: string;
  readonly family: string;
  readonly backend: string;
  readonly threads: number;
  readonly config: Record<string, unknown>;
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly skippedTensors: readonly string[];
  readonly endTokens: ReadonlySet<number>;
  /** The tokenizer's files, to build it from in the page; undefined where the checkpoint has none. */
  readonly tokenizerFiles?: ReadonlyMap<string, Uint8Array>;
}

export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly status?: number;
}

export function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message } = error;
  return { name, message, ...(error instanceof CheckpointError && error.status !== undefined ? { status: error.status } : {}) };
}

const classes: Readonly<Record<string, new (message: string) => Error>> = { RangeError, TypeError, SyntaxError, ConfigError, WeightsError };

/** The error as the page's code may test it with `instanceof`. */
export function revivedError({ name, message, status }: PlainError): Error {
  if (name === 'CheckpointError') return new CheckpointError(message, { status });
  const Known = classes[name];
  return Known ? new Known(message) : Object.assign(new Error(message), { name });
}
