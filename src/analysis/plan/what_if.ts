// `whatIf`: the same family with other values in its config, every figure beside the original's.

import { buildModel, ConfigError } from '../../models/index.js';
import { compareDescriptions } from '../compare.js';
import type { Comparison } from '../compare.js';
import { describe } from '../describe.js';
import type { DescribeOptions, Description } from '../describe.js';
import { openSource } from '../source.js';
import type { DescribeSource } from '../source.js';
import { near } from './near.js';

/** Fields of config.json and their new values; null removes one. */
export type Overrides = Readonly<Record<string, unknown>>;

export interface WhatIf {
  readonly original: Description;
  readonly changed: Description;
  readonly overrides: Overrides;
  /** Both in columns. */
  readonly comparison: Comparison;
}

type Json = Record<string, unknown>;

/**
 * Changes fields of a model's config and describes both. Rejects with one line: a ConfigError for
 * a field that the family does not read, and for values that describe no model.
 */
export async function whatIf(source: DescribeSource, overrides: Overrides, options: DescribeOptions = {}): Promise<WhatIf> {
  const opened = await openSource(source, { ...options, headers: false });
  await opened.close();
  const config = opened.config as Json;
  const name = opened.name ?? 'config.json';
  // What is wrong with the original is said of it, and not of the change.
  const original = { ...(await describe(config, options)), name };
  const changedConfig = changeConfig(config, overrides);
  checkFields(changedConfig, overrides, `${name} changed`);
  const changed = { ...(await describe(changedConfig, options).catch((error: unknown) => { throw relabelled(error, `${name} changed`); })), name: 'changed' };
  return { original, changed, overrides, comparison: compareDescriptions([original, changed]) };
}

/** Multimodal releases keep the text model's fields in text_config. */
function changeConfig(config: Json, overrides: Overrides): Json {
  if (Object.keys(overrides).length === 0) throw new ConfigError('there is nothing to change: no field was given');
  if (overrides.model_type !== undefined) throw new ConfigError('model_type is what makes a family: describe another model instead of changing it');
  const text = config.text_config as Json | undefined;
  return text !== null && typeof text === 'object' ? { ...config, text_config: { ...text, ...overrides } } : { ...config, ...overrides };
}

/** Refuses fields that nothing asks for while the model is built: they would change no figure, silently. */
function checkFields(config: Json, overrides: Overrides, where: string): void {
  const read = fieldsRead(config, where);
  for (const field of Object.keys(overrides)) {
    if (read.fields.has(field)) continue;
    const close = near(field.replaceAll('_', ' '), [...read.fields].sort());
    throw new ConfigError(`the ${read.family} family does not read '${field}'${close.length > 0 ? ` (it reads ${close.join(', ')})` : ''}`);
  }
}

/** The fields that building this config looks up. */
function fieldsRead(config: Json, where: string): { fields: Set<string>; family: string } {
  const fields = new Set<string>();
  const flat = { ...(config.text_config as Json | undefined ?? config), model_type: config.model_type };
  const watched = new Proxy(flat, {
    get(target, key) {
      if (typeof key === 'string' && key !== 'text_config' && key !== 'model_type') fields.add(key);
      return Reflect.get(target, key) as unknown;
    },
  });
  return { fields, family: buildModel(watched, where).family.name };
}

function relabelled(error: unknown, where: string): unknown {
  if (!(error instanceof ConfigError)) return error;
  return new ConfigError(error.message.replace(/^config\.json/, where), { cause: error });
}
