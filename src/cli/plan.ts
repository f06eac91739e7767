// `lamella plan`: which models a machine can run, how fast, why not the others, and how to start
// what needs many devices.

import type { Command } from 'commander';
import type { EngineName, Hardware, KvPrecision, OwnHardware, Plan, PlanEntry, PlanOptions, Purpose, WeightFormat } from '../analysis/index.js';
import { bytes, short, thousands } from './format.js';
import { printJson, UsageError } from './io.js';
import type { Io } from './io.js';
import { contextLength, number } from './options.js';
import { pairs, table } from './table.js';

interface Options {
  hardware?: string; memory?: number; bandwidth?: number; flops?: number; kind?: Hardware['kind']; devices?: number; context?: number; prompt?: number; batch?: number;
  weights?: string; kv?: string; purpose?: string; engine: string; listHardware?: true; json?: true;
}

const positive = number({ least: 0.001 });
const count = number({ least: 1, whole: true });

export function registerPlan(program: Command, io: Io): void {
  program.command('plan')
    .description('show which models a machine can run, how fast, and why not the others')
    .argument('[models...]', 'names, directories or hub ids (default: every built-in model)')
    .option('--hardware <name>', 'a machine of the table (--list-hardware)')
    .option('--memory <GB>', 'your own: memory of one device', positive)
    .option('--bandwidth <GB/s>', 'your own: how fast that memory is read', positive)
    .option('--flops <TFLOP/s>', 'your own: arithmetic, without which no time to first token is predicted', positive)
    .option('--kind <kind>', 'your own: gpu, mac, phone or cpu (default: gpu)')
    .option('--devices <count>', 'devices of that kind (default: 1)', count)
    .option('--context <tokens>', "tokens that each sequence may reach (default: the purpose's)", contextLength)
    .option('--prompt <tokens>', 'prompt that the time to first token is for (default: the context)', contextLength)
    .option('--batch <sequences>', 'sequences at once', count)
    .option('--weights <format>', 'f32, bf16, f16, fp8, q8_0 or q4_0 (default: bf16; q8_0 on phones and CPUs)')
    .option('--kv <precision>', 'cache in f32, bf16, fp8 or q8_0 (default: bf16)')
    .option('--purpose <purpose>', 'chat, long-documents, code, throughput or on-device (default: chat)')
    .option('--engine <engine>', 'write the launch of the best one for vllm or sglang, with a Kubernetes manifest', 'none')
    .option('--list-hardware', 'print the table of machines and where its figures come from')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', `
Memory is added up; speed is the slower of bytes over bandwidth and operations over arithmetic, at
the share that this engine reaches. Shares that nobody measured are guesses and marked with ~.

Examples:
  $ lamella plan --hardware mac-m4-max-128gb --weights q4_0
  $ lamella plan qwen3-8b gemma-3-12b --memory 16 --bandwidth 300 --context 32768
  $ lamella plan deepseek-v3 --hardware h200 --devices 8 --weights fp8 --engine vllm`)
    .action(async (models: string[], options: Options) => {
      const analysis = await import('../analysis/index.js');
      if (options.listHardware) {
        if (options.json) printJson(io, analysis.hardwareTable);
        else io.stdout.write(`${hardwareLines(analysis.hardwareTable, io.stdout.columns).join('\n')}\n`);
        return;
      }
      const result = await analysis.plan(planOptions(models, options));
      if (options.json) return printJson(io, result);
      io.stdout.write(`${planLines(result, io.stdout.columns).join('\n')}\n`);
    });
}

function planOptions(models: readonly string[], options: Options): PlanOptions {
  const { devices, context, prompt, batch, engine } = options;
  if (engine !== 'none' && engine !== 'vllm' && engine !== 'sglang') throw new UsageError(`--engine is vllm, sglang or none, got '${engine}'`);
  return {
    hardware: hardwareOf(options), devices, context, prompt, batch, models: models.length > 0 ? models : undefined, weights: options.weights as WeightFormat | undefined,
    kv: options.kv as KvPrecision | undefined, purpose: options.purpose as Purpose | undefined, engine: engine === 'none' ? undefined : engine as EngineName,
  };
}

const KINDS = ['gpu', 'mac', 'phone', 'cpu'];

function hardwareOf({ hardware, memory, bandwidth, flops, kind }: Options): string | OwnHardware {
  const own = [memory, bandwidth, flops, kind].some((value) => value !== undefined);
  if (hardware !== undefined && own) throw new UsageError('--hardware names a machine, --memory, --bandwidth, --flops and --kind describe your own: give one or the other');
  if (hardware !== undefined) return hardware;
  if (kind !== undefined && !KINDS.includes(kind)) throw new UsageError(`--kind is gpu, mac, phone or cpu, got '${kind}'`);
  if (memory === undefined || bandwidth === undefined) throw new UsageError('plan needs a machine: --hardware <name> (see --list-hardware), or --memory <GB> and --bandwidth <GB/s>');
  return { memory: memory * 1e9, bandwidth: bandwidth * 1e9, flops: flops === undefined ? undefined : flops * 1e12, kind };
}

export function hardwareLines(machines: readonly Hardware[], width?: number): string[] {
  const rate = (value: number | undefined) => (value === undefined ? '-' : `${Number((value / 1e12).toPrecision(4))}`);
  const rows = machines.map(({ name, memory, bandwidth, flops, source }) =>
    [name, `${memory / 1e9} GB`, `${Number((bandwidth / 1e9).toPrecision(4))} GB/s`, rate(flops?.bf16), rate(flops?.fp8), rate(flops?.f32), source]);
  return table([['', 'memory', 'bandwidth', 'bf16 TFLOP/s', 'fp8', 'f32', 'source'], ...rows], { width, cell: 60, right: [1, 2, 3, 4, 5] });
}

export function planLines(plan: Plan, width?: number): string[] {
  const fitting = plan.entries.filter(({ fits }) => fits);
  const others = plan.entries.filter(({ fits }) => !fits);
  return [
    ...heading(plan), '',
    ...(fitting.length > 0 ? [...fittingTable(fitting, width), '', ...reasonLines(fitting)] : ['nothing fits']),
    ...(others.length > 0 ? ['', 'does not fit', ...otherLines(others)] : []),
    ...footnotes(plan, fitting), ...launchLines(plan),
  ];
}

function heading({ hardware, devices, context, batch, weights, kv, purpose }: Plan): string[] {
  return pairs([
    ['machine', `${devices === 1 ? '' : `${devices} x `}${hardware.name}: ${bytes(hardware.memory)}, ${bytes(hardware.bandwidth)}/s${devices === 1 ? '' : ' each'}`],
    ['for', `${purpose}: ${thousands(context)} tokens of context, ${batch === 1 ? 'one sequence' : `${thousands(batch)} sequences`}, weights ${weights}, cache ${kv}`],
  ]);
}

function fittingTable(entries: readonly PlanEntry[], width?: number): string[] {
  const rows = entries.map(({ model, parameters, memory, speed, largestContext, largestBatch, devicesNeeded }) => {
    const about = speed!.measured ? '' : '~';
    return [
      model, short(parameters), bytes(memory!.weights), bytes(memory!.kv), bytes(memory!.workspace), bytes(memory!.reserve), percentOf(memory!.total, memory!.available),
      speed!.timeToFirstToken === null ? '-' : `${about}${seconds(speed!.timeToFirstToken)}`, `${about}${rate(speed!.tokensPerSecond)}`, thousands(largestContext), thousands(largestBatch), String(devicesNeeded ?? '-'),
    ];
  });
  const head = ['', 'params', 'weights', 'cache', 'work', 'reserve', 'full', 'first token', 'tok/s', 'max context', 'max batch', 'devices needed'];
  return table([head, ...rows], { width, cell: 12, right: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
}

const percentOf = (part: number, whole: number): string => `${Math.ceil((100 * part) / whole)} %`;
const rate = (value: number): string => (value < 10 ? value.toFixed(1) : thousands(Math.round(value)));
const seconds = (value: number): string => (value < 1 ? `${Math.round(value * 1000)} ms` : value < 120 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`);

/** The first few in full: who reads on can ask for one by name. */
const MOST_REASONS = 5;

function reasonLines(entries: readonly PlanEntry[]): string[] {
  return entries.slice(0, MOST_REASONS).map(({ model, reasons }, i) => `${i + 1}. ${model}: ${reasons.join('; ')}`);
}

function otherLines(entries: readonly PlanEntry[]): string[] {
  return entries.map(({ model, obstacle, devicesNeeded }) => `  ${model}: ${obstacle}${devicesNeeded !== null && !obstacle!.includes('beyond') ? `; ${devicesNeeded === 1 ? 'one device' : `${devicesNeeded} devices`} would do` : ''}`);
}

function footnotes({ efficiency, entries }: Plan, fitting: readonly PlanEntry[]): string[] {
  if (fitting.length === 0) return [];
  const share = `${Math.round(efficiency.bandwidth * 100)} % of the bandwidth, ${Math.round(efficiency.arithmetic * 100)} % of the arithmetic`;
  const models = entries.length > 1 ? ['Models are ordered by what the purpose asks for and then by parameters: this knows costs, not how well a model answers.'] : [];
  return ['', ...models, `${efficiency.measured ? 'Speeds' : '~ Speeds are unmeasured:'} at ${share} (${efficiency.source}).`];
}

function launchLines({ launch }: Plan): string[] {
  if (!launch) return [];
  return ['', ...launch.notes.map((note) => `# ${note}`), ...launch.commands, '', ...launch.manifest.trimEnd().split('\n')];
}
