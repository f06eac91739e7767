// What a family file exports: which model types it speaks for, how to read their config, and
// how to build the model from it.

import type { Decoder } from '../nn/index.js';
import type { HfConfig } from './config.js';

export interface Family {
  readonly name: string;
  /** `model_type` values of config.json. */
  readonly modelTypes: readonly string[];
  /** `model_type` that a saved model gets where transformers does not know its own. */
  readonly savedAs: Readonly<Record<string, string>>;
  build(hf: HfConfig): Decoder;
}

/** Joins a family's typed `config` and `build`. */
export function family<C>(
  name: string, modelTypes: readonly string[], config: (hf: HfConfig) => C, build: (c: C) => Decoder, savedAs: Readonly<Record<string, string>> = {},
): Family {
  return { name, modelTypes, savedAs, build: (hf) => build(config(hf)) };
}
