// `plan`: which models a machine can run, how fast, and why not the others.
//
// The planner knows what a design costs, not how well it answers. Among models that run well for
// a purpose it puts those with more parameters first, and says so.

import { families, HfConfig } from '../../models/index.js';
import { findPublished, publishedNames } from '../../models/published.js';
import { kvPrecisions, weightFormats } from '../formats.js';
import type { KvPrecision, WeightFormat } from '../formats.js';
import { openSource } from '../source.js';
import type { DescribeSource } from '../source.js';
import { efficiencies } from './efficiency.js';
import type { Efficiency } from './efficiency.js';
import type { PlanEntry, PlanSettings } from './entry.js';
import { findHardware } from './hardware.js';
import type { OwnHardware } from './hardware.js';
import { launch } from './launch.js';
import type { EngineName, Launch } from './launch.js';
import { deviceCounts, layoutFor } from './layout.js';
import { largest, memoryUse, predictSpeed } from './predict.js';
import type { MemoryUse } from './predict.js';
import { profileModel } from './profile.js';
import type { Profile } from './profile.js';
import { PURPOSES } from './purposes.js';
import type { Purpose } from './purposes.js';
import { rank, reasonsFor } from './rank.js';

export interface PlanOptions {
  /** A name of the table, or one's own figures. */
  readonly hardware: string | OwnHardware;
  /** Devices of that kind; 1 by default. */
  readonly devices?: number;
  /** Tokens that each sequence may reach; the purpose's by default. */
  readonly context?: number;
  /** Tokens of the prompt that the time to first token is for; `context` by default. */
  readonly prompt?: number;
  /** Sequences at once. */
  readonly batch?: number;
  /** bf16 by default, q8_0 on phones and CPUs. */
  readonly weights?: WeightFormat;
  /** bf16 by default. */
  readonly kv?: KvPrecision;
  readonly purpose?: Purpose;
  /** Built-in names, directories, hub ids or configs; every built-in model of an implemented family by default. */
  readonly models?: readonly DescribeSource[];
  /** Writes how to start the best entry in an engine made for many devices. */
  readonly engine?: EngineName;
  readonly signal?: AbortSignal;
}

export interface Plan extends PlanSettings {
  readonly efficiency: Efficiency;
  /** Best first. */
  readonly entries: readonly PlanEntry[];
  /** How to start the first of them in the engine that was asked for; null: none was. */
  readonly launch: Launch | null;
}

const MOST = { devices: 1024, context: 2 ** 24, prompt: 2 ** 24, batch: 2 ** 16 };

/** Plans. Rejects with one line: a RangeError for options, a ConfigError for configs that describe no model. */
export async function plan(options: PlanOptions): Promise<Plan> {
  const settings = settingsOf(options);
  const profiles: Profile[] = [];
  for (const source of options.models ?? builtIn()) {
    options.signal?.throwIfAborted();
    profiles.push(await openProfile(source, options.signal));
  }
  const planned = new Map(profiles.map((profile) => [planModel(profile, settings), profile]));
  const entries = rank([...planned.keys()], settings);
  return {
    ...settings, efficiency: efficiencies[settings.hardware.kind], entries,
    launch: options.engine ? launch(planned.get(entries[0])!, entries[0], settings, options.engine) : null,
  };
}

/** Fills in what the purpose and the machine suggest, and checks the rest. */
export function settingsOf(options: PlanOptions): PlanSettings {
  const hardware = findHardware(options.hardware);
  const purpose = oneOf('purpose', options.purpose ?? 'chat', Object.keys(PURPOSES) as Purpose[]);
  const small = hardware.kind === 'phone' || hardware.kind === 'cpu';
  const weights = oneOf('weights', options.weights ?? (small ? 'q8_0' : 'bf16'), weightFormats);
  const kv = oneOf('kv', options.kv ?? 'bf16', kvPrecisions);
  const { devices = 1, context = PURPOSES[purpose].context, batch = PURPOSES[purpose].batch } = options;
  const { prompt = context } = options;
  for (const [name, value] of Object.entries({ devices, context, prompt, batch })) {
    const most = MOST[name as keyof typeof MOST];
    if (!(Number.isInteger(value) && value >= 1 && value <= most)) throw new RangeError(`${name} must be a whole number from 1 to ${most}, got ${value}`);
  }
  if (prompt > context) throw new RangeError(`a prompt of ${prompt} tokens is longer than the context of ${context}`);
  return { hardware, devices, context, prompt, batch, purpose, weights, kv };
}

function oneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) throw new RangeError(`${name} must be ${allowed.slice(0, -1).join(', ')} or ${allowed.at(-1)}, got '${value}'`);
  return value;
}

/** Built-in models that can be built; of several releases of the same config, the one a bare name means. */
function builtIn(): readonly string[] {
  const known = new Set(families.flatMap(({ modelTypes }) => modelTypes));
  const names = publishedNames.filter((name) => known.has(new HfConfig(findPublished(name)!.config).modelType));
  const shortest = (name: string) => name.replace(/-(instruct|it|chat|pt|base)(?=-|$).*/, '');
  return names.filter((name) => {
    const meant = findPublished(shortest(name));
    return meant === undefined || meant.name === name;
  });
}

/** Reads a model's config alone. */
export async function openProfile(source: DescribeSource, signal?: AbortSignal): Promise<Profile> {
  const opened = await openSource(source, { headers: false, signal });
  await opened.close();
  const config = opened.config as Readonly<Record<string, unknown>>;
  return profileModel(opened.name ?? 'config.json', config, opened.where);
}

/** One model's entry. */
export function planModel(profile: Profile, settings: PlanSettings): PlanEntry {
  const { name: model, family, parameters, active } = profile;
  const base = { model, family, parameters, active };
  const beyond = beyondModel(profile, settings.context);
  const layout = layoutFor(profile, settings.hardware, settings.devices, { format: settings.weights, copies: copiesOf(profile, settings) });
  const unfit = { ...base, fits: false, speed: null, largestContext: 0, largestBatch: 0, reasons: [] };
  if (typeof layout === 'string') return { ...unfit, obstacle: beyond ?? layout, layout: null, memory: null, devicesNeeded: devicesNeeded(profile, settings) };
  const memory = memoryUse(profile, settings.hardware, layout, settings.context, settings.batch, settings);
  const fits = (context: number, batch: number) => holds(memoryUse(profile, settings.hardware, layout, context, batch, settings));
  const limits = {
    largestContext: largest(longestOf(profile), (context) => fits(context, settings.batch)), largestBatch: beyond ? 0 : largest(MOST.batch, (batch) => fits(settings.context, batch)),
    devicesNeeded: devicesNeeded(profile, settings),
  };
  const obstacle = beyond ?? (holds(memory) ? null : shortOf(memory, settings));
  if (obstacle !== null) return { ...unfit, ...limits, obstacle, layout, memory };
  const speed = predictSpeed(profile, settings.hardware, layout, settings, settings);
  const entry = { ...base, fits: true, obstacle: null, layout, memory, speed, ...limits };
  return { ...entry, reasons: reasonsFor(entry, settings) };
}

const holds = ({ total, available }: MemoryUse): boolean => total <= available;
const longestOf = ({ contextLength, learnedPositions }: Profile): number => Math.min(contextLength, learnedPositions ?? Infinity);

function beyondModel(profile: Profile, context: number): string | null {
  const longest = longestOf(profile);
  return context > longest ? `a context of ${context.toLocaleString('en-US')} is beyond the model's ${longest.toLocaleString('en-US')}` : null;
}

function shortOf({ total, available, weights, reserve }: MemoryUse, { devices }: PlanSettings): string {
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const each = devices === 1 ? '' : ' on each device';
  return weights + reserve > available ? `its weights take ${gb(weights)}${each} and ${gb(available - reserve)} can be used` : `it needs ${gb(total)}${each} with its cache, and there are ${gb(available)}`;
}

function devicesNeeded(profile: Profile, settings: PlanSettings): number | null {
  return deviceCounts(settings.hardware).find((count) => {
    const layout = layoutFor(profile, settings.hardware, count, { format: settings.weights });
    return typeof layout !== 'string' && holds(memoryUse(profile, settings.hardware, layout, settings.context, settings.batch, settings));
  }) ?? null;
}

/** For throughput, as many copies as one machine's devices allow; else one, cut over all of them. */
function copiesOf(profile: Profile, settings: PlanSettings): number {
  const { devices, purpose, hardware } = settings;
  if (purpose !== 'throughput' || devices === 1 || devices > hardware.perNode) return 1;
  // Engines spread the experts of all copies over all devices.
  if (profile.layers.some(({ mlp }) => mlp?.kind === 'moe' && mlp.experts % devices !== 0)) return 1;
  const needed = devicesNeeded(profile, { ...settings, batch: Math.ceil(settings.batch / devices) });
  return needed !== null && needed < devices && devices % needed === 0 ? devices / needed : 1;
}
