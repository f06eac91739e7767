// Every family, and how a config finds its own. Adding a family is one line here.

import type { Decoder } from '../nn/index.js';
import { ConfigError, HfConfig } from './config.js';
import { deepseekV3 } from './deepseek_v3.js';
import type { Family } from './family.js';
import { gemma3 } from './gemma3.js';
import { gpt2 } from './gpt2.js';
import { llama } from './llama.js';
import { llama4 } from './llama4.js';
import { mistral } from './mistral.js';
import { olmo2 } from './olmo2.js';
import { olmo3 } from './olmo3.js';
import { qwen3 } from './qwen3.js';
import { smollm3 } from './smollm3.js';

export const families: readonly Family[] = [
  gpt2,
  llama,
  olmo2,
  olmo3,
  gemma3,
  mistral,
  llama4,
  qwen3,
  smollm3,
  deepseekV3,
];

/** The family that speaks for a config's `model_type`. */
export function familyOf(hf: HfConfig): Family {
  const found = families.find((f) => f.modelTypes.includes(hf.modelType));
  if (found) return found;
  const known = families.flatMap((f) => f.modelTypes).sort().join(', ');
  throw new ConfigError(`unknown model_type '${hf.modelType}'; known are ${known}`);
}

/** Builds the model that a hub config describes; nothing is allocated. */
export function buildModel(config: unknown, where?: string): { family: Family; hf: HfConfig; decoder: Decoder } {
  const hf = new HfConfig(config, where);
  const family = familyOf(hf);
  return { family, hf, decoder: family.build(hf) };
}
