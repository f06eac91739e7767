// The order of a plan's entries, and the reasons for it in words.

import type { PlanEntry, PlanSettings } from './entry.js';
import { RESERVE } from './predict.js';
import { PURPOSES } from './purposes.js';

/** Best first: those that fit and are fast enough, then those that fit, then the others. */
export function rank(entries: readonly PlanEntry[], settings: PlanSettings): PlanEntry[] {
  const value = (entry: PlanEntry): number =>
    settings.purpose === 'throughput' ? entry.speed!.totalTokensPerSecond : entry.parameters;
  return [...entries].sort((a, b) => tier(a, settings) - tier(b, settings)
    || (a.fits && b.fits ? (tier(a, settings) === 0 ? value(b) - value(a) : b.speed!.tokensPerSecond - a.speed!.tokensPerSecond) : a.parameters - b.parameters));
}

function tier(entry: PlanEntry, settings: PlanSettings): number {
  if (!entry.fits) return 2;
  return isFastEnough(entry, settings) && leavesRoom(entry, settings) ? 0 : 1;
}

type Fitting = Pick<PlanEntry, 'speed' | 'memory' | 'layout' | 'parameters' | 'active' | 'largestContext' | 'largestBatch' | 'devicesNeeded'>;

const isFastEnough = ({ speed }: Fitting, { purpose }: PlanSettings): boolean => speed!.tokensPerSecond >= PURPOSES[purpose].tokensPerSecond;
/** On a device that does other things too, a model should take no more than half of what is free. */
const leavesRoom = ({ memory }: Fitting, { purpose }: PlanSettings): boolean => purpose !== 'on-device' || memory!.total - memory!.reserve <= (memory!.available - memory!.reserve) / 2;

/** Why an entry that fits stands where it does. */
export function reasonsFor(entry: Fitting, settings: PlanSettings): string[] {
  const { speed, memory, layout, parameters, active } = entry;
  const wanted = PURPOSES[settings.purpose];
  const rate = speed!.tokensPerSecond;
  const reasons = [isFastEnough(entry, settings)
    ? `${shown(rate)} tokens per second, ${settings.purpose} wants ${wanted.tokensPerSecond}`
    : `only ${shown(rate)} tokens per second, ${settings.purpose} wants ${wanted.tokensPerSecond}`];
  if (!leavesRoom(entry, settings)) reasons.push('takes more than half of the memory that other programs leave');
  if (active < parameters / 2) reasons.push(`reads the experts of ${percent(active, parameters)} of its parameters per token`);
  reasons.push(speed!.boundBy === 'bandwidth' ? 'decoding is bound by reading memory' : 'decoding is bound by arithmetic');
  if (memory!.kv > memory!.weights) reasons.push(`its cache takes more than its weights${layout!.cacheShards < layout!.tensor * layout!.pipeline ? ', and cannot be cut over all devices' : ''}`);
  const free = memory!.available - memory!.total;
  if (free < 0.05 * memory!.available) reasons.push(`nearly full: ${(free / 1e9).toFixed(1)} GB stay free beside the reserve of ${percent(RESERVE[settings.hardware.kind].share, 1)}`);
  if (entry.devicesNeeded !== null && entry.devicesNeeded < settings.devices) reasons.push(`would fit on ${entry.devicesNeeded} of ${settings.devices} devices`);
  if (speed!.timeToFirstToken === null) reasons.push('no time to first token: the arithmetic of this machine is not known');
  return reasons;
}

const shown = (value: number): string => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US'));
const percent = (part: number, whole: number): string => `${Math.round((100 * part) / whole)} %`;
