// Finds a published release by the name that a person would type. Releases of families that are
// not implemented are listed too: the registry says so when one is asked for.

import { publishedConfigs } from './published_configs.js';

export interface Published {
  /** Lower case, without the owner: `qwen3-0.6b`. */
  readonly name: string;
  readonly hubId: string;
  /** config.json as it was published. */
  readonly config: Readonly<Record<string, unknown>>;
}

const published: readonly Published[] = Object.entries(publishedConfigs).map(([name, { hubId, config }]) => ({ name, hubId, config }));

/** Every release that is built in, in the order of their names. */
export const publishedNames: readonly string[] = published.map(({ name }) => name);

/**
 * The release called `name`: its exact name or hub id, else the only one whose name goes on from
 * it (`kimi-k2`), the instruct or `-it` release where a model has several (`gemma-3-27b`).
 * Undefined where nothing, or more than one model, could be meant.
 */
export function findPublished(name: string): Published | undefined {
  const wanted = name.toLowerCase();
  const exact = published.find((release) => release.name === wanted || release.hubId.toLowerCase() === wanted);
  if (exact) return exact;
  const longer = published.filter((release) => release.name.startsWith(`${wanted}-`));
  if (new Set(longer.map((release) => baseName(release.name))).size !== 1) return undefined;
  return longer.find((release) => isTuned(release.name)) ?? longer[0];
}

/** Names that `name` could be short for or mistaken for. */
export function similarPublished(name: string): readonly string[] {
  const wanted = name.toLowerCase().slice(name.lastIndexOf('/') + 1);
  const longer = publishedNames.filter((other) => wanted !== '' && other.startsWith(wanted));
  if (longer.length > 0) return longer;
  const [family] = /^[a-z]{3,}/.exec(wanted) ?? [];
  return family ? publishedNames.filter((other) => other.startsWith(family)) : [];
}

// What tells the tuned release of a model from its base.
const VARIANT = /-(instruct|it|chat|pt|base)(?=-|$)/;

const baseName = (name: string): string => name.replace(VARIANT, '');
const isTuned = (name: string): boolean => /^-(instruct|it|chat)$/.test(VARIANT.exec(name)?.[0] ?? '');
