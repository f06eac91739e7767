// How to start a model in vLLM or SGLang: one command per machine and one Kubernetes manifest.
// What outgrows one machine is their business; this engine runs on one.

import type { KvPrecision, WeightFormat } from '../formats.js';
import type { EngineName } from './engine_flags.js';
import { manifest } from './kubernetes.js';
import type { Layout } from './layout.js';
import type { PlanEntry, PlanSettings } from './entry.js';
import { RESERVE } from './predict.js';
import type { Profile } from './profile.js';

export type { EngineName } from './engine_flags.js';

export interface Launch {
  readonly engine: EngineName;
  /** One per machine, the first being the one that serves. */
  readonly commands: readonly string[];
  /** A YAML file: Deployment or LeaderWorkerSet, and Service. */
  readonly manifest: string;
  readonly notes: readonly string[];
}

/** A flag and its value, if it takes one. */
export type Flag = readonly [name: string, value?: string | number];

/** Words of the shell that stand for what differs between machines. */
export interface Place { readonly rank: string; readonly leader: string; readonly worker: boolean }

export const PORTS: Readonly<Record<EngineName, number>> = { vllm: 8000, sglang: 30000 };
/** SGLang's machines find each other here. */
const RENDEZVOUS = 20000;

/** Writes the launch of a planned model. Throws a RangeError with one line where there is none. */
export function launch(profile: Profile, { fits, obstacle, layout, model }: PlanEntry, settings: PlanSettings, engine: EngineName): Launch {
  if (!(engine in PORTS)) throw new RangeError(`engine must be vllm or sglang, got '${engine}'`);
  if (!fits || !layout) throw new RangeError(`there is no launch for ${model}: ${obstacle}`);
  if (settings.hardware.kind !== 'gpu') throw new RangeError(`${engine} launches are written for GPUs; ${settings.hardware.name} is a ${settings.hardware.kind}`);
  const flags = [...formatFlags(profile, settings, engine), ...sizeFlags(layout, engine), ...limitFlags(settings, engine), ...(needsRemoteCode(profile) ? [['--trust-remote-code'] as const] : [])];
  const command = (place: Place) => shellLine(engine, model, [...flags, ...placeFlags(layout, place, engine)]);
  const commands = Array.from({ length: layout.nodes }, (_, rank) => command({ rank: String(rank), leader: '$LEADER', worker: rank > 0 }));
  const inCluster = (worker: boolean) => command({ rank: '$(LWS_WORKER_INDEX)', leader: '$(LWS_LEADER_ADDRESS)', worker });
  return { engine, commands, manifest: manifest({ engine, model, layout, port: PORTS[engine], command: inCluster, weightBytes: profile.weights[settings.weights].bytes }), notes: notesOf(profile, layout, settings) };
}

function shellLine(engine: EngineName, model: string, flags: readonly Flag[]): string {
  const start = engine === 'vllm' ? `vllm serve ${model}` : `python3 -m sglang.launch_server --model-path ${model} --host 0.0.0.0`;
  return [start, ...flags.map(([name, value]) => (value === undefined ? name : `${name} ${value}`))].join(' ');
}

const DTYPES: Partial<Record<WeightFormat, string>> = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' };

/** Weights and cache. A release in FP8 says so itself; another is quantised while loading. */
function formatFlags(profile: Profile, { weights, kv }: PlanSettings, engine: EngineName): Flag[] {
  const stored = isFp8(profile);
  if (weights === 'q8_0' || weights === 'q4_0') throw new RangeError(`${engine} does not quantise a release to ${weights} while loading: plan with weights fp8 or bf16`);
  if (stored && weights !== 'fp8') throw new RangeError(`${profile.name} is published in FP8, and ${engine} serves it so: plan with weights fp8`);
  const dtype = DTYPES[weights];
  return [...(dtype ? [['--dtype', dtype] as const] : stored ? [] : [['--quantization', 'fp8'] as const]), ...cacheFlags(kv, weights, engine)];
}

function cacheFlags(kv: KvPrecision, weights: WeightFormat, engine: EngineName): Flag[] {
  if (kv === 'q8_0' || (kv === 'f32') !== (weights === 'f32')) throw new RangeError(`${engine} keeps no ${kv} cache beside ${weights} weights: plan with kv ${weights === 'f32' ? 'f32' : 'bf16 or fp8'}`);
  return kv === 'fp8' ? [['--kv-cache-dtype', engine === 'vllm' ? 'fp8' : 'fp8_e4m3']] : [];
}

function sizeFlags({ tensor, pipeline, data, experts }: Layout, engine: EngineName): Flag[] {
  const [tp, pp, dp] = engine === 'vllm' ? ['--tensor-parallel-size', '--pipeline-parallel-size', '--data-parallel-size'] : ['--tp-size', '--pp-size', '--dp-size'];
  return [
    [tp, tensor], ...(pipeline > 1 ? [[pp, pipeline] as const] : []), ...(data > 1 ? [[dp, data] as const] : []),
    ...(!experts ? [] : engine === 'vllm' ? [['--enable-expert-parallel'] as const] : [['--ep-size', tensor] as const]),
  ];
}

function limitFlags({ context, batch, hardware }: PlanSettings, engine: EngineName): Flag[] {
  const share = 1 - RESERVE[hardware.kind].share;
  return engine === 'vllm'
    ? [['--max-model-len', context], ['--max-num-seqs', batch], ['--gpu-memory-utilization', share], ['--port', PORTS.vllm]]
    // SGLang's share leaves out the workspace too.
    : [['--context-length', context], ['--max-running-requests', batch], ['--mem-fraction-static', Number((share - 0.04).toFixed(2))], ['--port', PORTS.sglang]];
}

function placeFlags({ nodes }: Layout, { rank, leader, worker }: Place, engine: EngineName): Flag[] {
  if (nodes === 1) return [];
  const both: Flag[] = [['--nnodes', nodes], ['--node-rank', rank]];
  return engine === 'vllm' ? [...both, ['--master-addr', leader], ...(worker ? [['--headless'] as const] : [])] : [...both, ['--dist-init-addr', `${leader}:${RENDEZVOUS}`]];
}

function isFp8({ config }: Profile): boolean {
  return (config.quantization_config as { quant_method?: unknown } | undefined)?.quant_method === 'fp8';
}

/** Model types whose code and tokenizer both engines have, though the release brings its own along. */
const NATIVE = new Set<unknown>(['deepseek_v2', 'deepseek_v3']);

function needsRemoteCode({ config }: Profile): boolean {
  return config.auto_map !== undefined && config.auto_map !== null && !NATIVE.has(config.model_type);
}

function notesOf(profile: Profile, layout: Layout, { weights, hardware }: PlanSettings): string[] {
  const notes = layout.nodes > 1 ? [`LEADER is the address of the first of ${layout.nodes} machines; each of them starts its own line`] : [];
  if (weights === 'fp8' && !isFp8(profile)) {
    const each = profile.weights.bf16.bytes / (layout.tensor * layout.pipeline);
    notes.push(each > hardware.memory * (1 - RESERVE[hardware.kind].share)
      ? `the bf16 release, which --quantization fp8 loads before it quantises, takes ${(each / 1e9).toFixed(0)} GB a device: start an FP8 release of it, without --quantization`
      : 'the release is quantised to FP8 while loading');
  }
  if (weights === 'fp8' && hardware.flops && hardware.flops.fp8 === undefined) notes.push(`${hardware.name} has no FP8 arithmetic: FP8 saves memory here, not operations`);
  if (needsRemoteCode(profile)) notes.push('the release brings Python code of its own, which --trust-remote-code runs');
  return notes;
}
