// Memory and speed of one model on one machine. Memory is added up; speed is the roofline: a step
// takes as long as the slower of its bytes over the bandwidth and its operations over the
// arithmetic, each at the share that the engine reaches, and what each layer costs beside them.

import type { KvPrecision, WeightFormat } from '../formats.js';
import { efficiencies, PARALLEL_EFFICIENCY } from './efficiency.js';
import type { Kind } from './efficiency.js';
import { flopsFor } from './hardware.js';
import type { Hardware } from './hardware.js';
import type { Layout } from './layout.js';
import type { Profile, Work } from './profile.js';

export interface Formats { readonly weights: WeightFormat; readonly kv: KvPrecision }

/** Share of the memory that the system and the runtime need for themselves. */
export const RESERVE: Readonly<Record<Kind, { readonly share: number; readonly why: string }>> = {
  gpu: { share: 0.1, why: 'driver, kernels and fragmentation: what vLLM leaves free by default' },
  mac: { share: 0.25, why: 'the system and other programs; macOS lets the GPU use about three quarters' },
  phone: { share: 0.5, why: 'the system ends programs that take more than about half' },
  cpu: { share: 0.15, why: 'the system and the runtime' },
};

/** Prompt tokens computed together. */
export const CHUNK: Readonly<Record<Kind, number>> = { gpu: 2048, mac: 512, phone: 256, cpu: 256 };

/** Bytes of one device, the fullest. */
export interface MemoryUse {
  readonly weights: number;
  readonly kv: number;
  readonly workspace: number;
  readonly reserve: number;
  readonly total: number;
  readonly available: number;
}

export function memoryUse(profile: Profile, hardware: Hardware, layout: Layout, context: number, batch: number, formats: Formats): MemoryUse {
  const sequences = Math.ceil(batch / layout.data);
  const weights = profile.weights[formats.weights].bytes / (layout.tensor * layout.pipeline);
  const kv = (sequences * profile.kvBytes(context, formats.kv)) / layout.cacheShards;
  const workspace = profile.workspace(Math.min(context, CHUNK[hardware.kind]), sequences);
  const reserve = hardware.memory * RESERVE[hardware.kind].share;
  return { weights, kv, workspace, reserve, total: weights + kv + workspace + reserve, available: hardware.memory };
}

export interface Speed {
  /** Seconds until the first token after a prompt; null: the machine's arithmetic is not known. */
  readonly timeToFirstToken: number | null;
  /** Of one sequence. */
  readonly tokensPerSecond: number;
  /** Of all sequences together. */
  readonly totalTokensPerSecond: number;
  readonly boundBy: 'bandwidth' | 'arithmetic';
  readonly measured: boolean;
}

export function predictSpeed(profile: Profile, hardware: Hardware, layout: Layout, load: { readonly context: number; readonly prompt: number; readonly batch: number }, formats: Formats): Speed {
  const { measured } = efficiencies[hardware.kind];
  const sequences = Math.ceil(load.batch / layout.data);
  const step = stepTime(profile.decode(load.context, sequences, formats.weights, formats.kv), 1, profile, hardware, layout, formats);
  const chunk = CHUNK[hardware.kind];
  const prefill = stepTime(profile.prefill(load.prompt, chunk, formats.weights, formats.kv), Math.ceil(load.prompt / chunk), profile, hardware, layout, formats);
  return {
    timeToFirstToken: prefill.arithmetic === null ? null : prefill.seconds, tokensPerSecond: 1 / step.seconds, totalTokensPerSecond: load.batch / step.seconds,
    boundBy: step.arithmetic !== null && step.arithmetic > step.bytes ? 'arithmetic' : 'bandwidth', measured: measured && layout.devices === 1,
  };
}

/** Which of a machine's figures the multiplications of these weights run at: quantised ones are unpacked to 16 bits. */
function precisionOf(weights: WeightFormat): 'f32' | 'bf16' | 'fp8' {
  return weights === 'f32' || weights === 'fp8' ? weights : 'bf16';
}

function stepTime(work: Work, steps: number, { layers }: Profile, hardware: Hardware, layout: Layout, formats: Formats) {
  const { bandwidth, arithmetic, secondsPerLayer } = efficiencies[hardware.kind];
  // Pipeline stages work one after another for one step; only tensor parallelism makes it shorter.
  const speedup = layout.tensor === 1 ? 1 : layout.tensor * PARALLEL_EFFICIENCY;
  const bytes = (work.weightBytes + work.cacheBytes) / (hardware.bandwidth * bandwidth * speedup);
  const flops = flopsFor(hardware, precisionOf(formats.weights));
  const computing = flops === null ? null : work.flops / (flops * arithmetic * speedup);
  return { bytes, arithmetic: computing, seconds: Math.max(bytes, computing ?? 0) + steps * layers.length * secondsPerLayer };
}

/** The largest whole number from 1 to `most` for which `fits` holds, given that it holds for all below; 0: for none. */
export function largest(most: number, fits: (value: number) => boolean): number {
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
