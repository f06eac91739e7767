// `lamella inspect`: everything about one model, from its config and, for a checkpoint, from the
// headers of its files.

import { Option } from 'commander';
import type { Command } from 'commander';
import type { Description, LayerDescription, Overrides, WhatIf } from '../analysis/index.js';
import type { WeightFormat } from '../engine/index.js';
import { comparisonLines } from './compare.js';
import { bytes, flops, percent, ranges, short, thousands } from './format.js';
import { printJson, UsageError } from './io.js';
import type { Io } from './io.js';
import { contextLength, memorySize, several } from './options.js';
import { pairs, table } from './table.js';

export function registerInspect(program: Command, io: Io): void {
  program.command('inspect')
    .description('show what a model is made of: parameters, memory, arithmetic, layer by layer')
    .argument('<model>', 'directory, .gguf or config.json file, hub id, web address or name of a published release')
    .option('--context <tokens>', 'context that cache and arithmetic are given for (default: 8192, or the longest where that is less)', contextLength)
    .option('--memory <size>', 'say what loading within this much memory, such as 8GB, will do on the CPU', memorySize)
    .addOption(new Option('--weights <format>', 'with --memory: weights as they are stored (bf16 without a checkpoint), or requantised while loading').choices(['stored', 'f32', 'f16', 'q8_0', 'q4_0'] satisfies WeightFormat[]).default('stored'))
    .option('--revision <name>', 'hub branch, tag or commit')
    .option('--set <field=value>', 'what if config.json had this value (repeatable): prints the original beside the changed', several)
    .option('--json', 'print everything as JSON')
    .addHelpText('after', `
Of a checkpoint only the headers are read, never the weights: stored tensors that the model does not
use are listed, missing or misshapen ones are an error. The hub id of a published release uses its
built-in config; with --revision, or by its web address, the hub's files are looked at.

Examples:
  $ lamella inspect qwen3-30b-a3b
  $ lamella inspect ./my-model --context 32768
  $ lamella inspect qwen3-30b-a3b --memory 8GB --weights q4_0 --context 4096
  $ lamella inspect deepseek-v3 --set n_routed_experts=128 --set kv_lora_rank=256
  $ lamella inspect owner/name --revision main --json`)
    .action(async (model: string, options: { context?: number; memory?: number; weights: WeightFormat; revision?: string; set?: readonly string[]; json?: true }) => {
      const { describe, layerColumns, whatIf } = await import('../analysis/index.js');
      if (options.set) {
        const changed = await whatIf(model, overridesOf(options.set), { context: options.context, revision: options.revision });
        if (options.json) printJson(io, changed);
        else io.stdout.write(`${whatIfLines(changed, io.stdout.columns).join('\n')}\n`);
        return;
      }
      const description = await describe(model, { context: options.context, memory: options.memory, weights: options.weights, revision: options.revision });
      if (options.json) return printJson(io, description);
      io.stdout.write(`${inspectionLines(description, layerColumns(description), io.stdout.columns).join('\n')}\n`);
    });
}

/** `field=value`, the value as JSON where it is that, as text otherwise. */
function overridesOf(settings: readonly string[]): Overrides {
  return Object.fromEntries(settings.map((setting) => {
    const [, field, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(setting) ?? [];
    if (field === undefined) throw new UsageError(`--set takes field=value, got '${setting}'`);
    try {
      return [field, JSON.parse(value) as unknown];
    } catch {
      return [field, value];
    }
  }));
}

function whatIfLines({ overrides, comparison }: WhatIf, width?: number): string[] {
  return [`with ${Object.entries(overrides).map(([field, value]) => `${field} = ${JSON.stringify(value)}`).join(', ')}`, '', ...comparisonLines(comparison, width)];
}

type Columns = readonly (readonly [label: string, text: (layer: LayerDescription) => string])[];

export function inspectionLines(model: Description, columns: Columns, width?: number): string[] {
  return [
    `${model.name} (${model.family})`, '', ...figures(model), '', ...loading(model),
    'parameters by part', ...parts(model), '',
    ...layers(model, columns, width), ...skipped(model.skippedTensors),
  ];
}

function figures(model: Description): string[] {
  const { parameters: p, context, decode, prefill } = model;
  const exact = (value: number) => (value < 1e6 ? short(value) : `${short(value)} (${thousands(value)})`);
  const sequences = model.batch === 1 ? '' : `, ${model.batch} sequences`;
  return pairs([
    ['parameters', exact(p.total)],
    ['active per token', p.active === p.total ? 'all' : exact(p.active)],
    ...(p.stored === null ? [] : [['in the checkpoint', exact(p.stored)] as const]),
    ['weights', `${bytes(model.weightBytes)} ${p.stored === null ? 'in bf16' : 'as stored'}`],
    ['  in other formats', (['fp8', 'q8_0', 'q4_0'] as const).map((format) => `${format} ${bytes(model.weightFormats[format].bytes)}`).join(', ')],
    ['vocabulary', `${thousands(model.vocabularySize)}, head ${model.tiedHead ? 'tied to the embedding' : 'of its own'}`],
    ['hidden size', thousands(model.hiddenSize)],
    ['longest context', `${thousands(model.contextLength)} tokens${model.learnedPositions ? ' (learned positions)' : ''}`],
    ['KV cache', `${bytes(model.kvBytesPerToken)} per token in bf16`],
    [`  at ${thousands(context)}`, bytes(model.kvAtContext)],
    ...(context === model.contextLength ? [] : [[`  at ${thousands(model.contextLength)}`, bytes(model.kvAtContextLength)] as const]),
    ...cacheKinds(model),
    ['decode step', `${flops(decode.flops.total)}, ${bytes(decode.bytesRead + decode.bytesWritten)} moved, ${decode.intensity.toFixed(1)} a byte (at ${thousands(context)} tokens${sequences})`],
    ['prefill', `${flops(prefill.flops.total)}, ${thousands(Math.round(prefill.intensity))} a byte (${thousands(context)} tokens)`],
  ]);
}

/** Layers that keep differently, and the cache in other precisions. */
function cacheKinds({ kvByKind, context, kvBytes }: Description): (readonly [string, string])[] {
  const kinds = kvByKind.map(({ attention, reach, span, layers: count, bytesAtContext }) =>
    [`  ${count} x ${reach}${span === null ? '' : ` ${thousands(span)}`}`, `${bytes(bytesAtContext.bf16)} (${attention}, at ${thousands(context)})`] as const);
  const others = (['f32', 'fp8', 'q8_0'] as const).map((precision) => `${precision} ${bytes(kvBytes(context, precision))}`).join(', ');
  return [...(kinds.length > 1 ? kinds : []), ['  in other formats', others]];
}

/** What loading will do: formats that become others, and what is in memory and what is not. */
function loading({ replacedFormats, memory }: Description): string[] {
  const lines = [...replacedFormats, ...(memory ? [forecast(memory)] : [])];
  return lines.length > 0 ? [...lines, ''] : [];
}

function forecast({ memory, kind, reason, hint, weights, held, cache, kv, kvTokens, workspace, experts, layers: streamed }: NonNullable<Description['memory']>): string {
  if (kind === 'impossible') return `will not run: ${reason}`;
  const beside = `${bytes(kv)} for ${thousands(kvTokens)} tokens of cache and ${bytes(workspace)} for everything else`;
  if (kind === 'resident') return `in ${bytes(memory)}: all weights in memory (${bytes(weights)}), ${beside}`;
  const what = [
    ...(experts ? [`${thousands(experts.inMemory)} of ${thousands(experts.total)} matrices of experts in memory at a time, the others read from the disk when they are chosen`] : []),
    ...(streamed ? [`the matrices of ${streamed.streamed} of ${streamed.total} layers read from the disk for every token`] : []),
  ];
  return `in ${bytes(memory)}: ${what.join('; ')}. ${bytes(held)} of ${bytes(weights)} always in memory, ${bytes(cache)} for what is streamed, ${beside}${hint ? `; ${hint}` : ''}`;
}

const PART_NAMES: Readonly<Record<string, string>> = { sharedExperts: 'shared experts', positions: 'position table' };

function parts({ parameters: { byPart, total } }: Description): string[] {
  const rows = Object.entries(byPart).sort((a, b) => b[1] - a[1]);
  return table(rows.map(([part, size]) => [`  ${PART_NAMES[part] ?? part}`, short(size), percent(size, total)]), { right: [1, 2] });
}

/** What all layers share is said once; layers that differ get a row per kind. */
function layers(model: Description, columns: Columns, width?: number): string[] {
  const same = columns.filter(([, text]) => model.layers.every((layer) => text(layer) === text(model.layers[0])));
  const other = columns.filter((column) => !same.includes(column));
  const lines = [`${model.layers.length} layers`, ...pairs(same.map(([label, text]) => [`  ${label}`, text(model.layers[0])]))];
  if (other.length === 0) return lines;
  const kinds = new Map<string, LayerDescription[]>();
  for (const layer of model.layers) {
    const key = JSON.stringify(other.map(([, text]) => text(layer)));
    kinds.set(key, [...(kinds.get(key) ?? []), layer]);
  }
  const rows = [...kinds.values()].map((members) => ['', ranges(members.map(({ index }) => index)), ...other.map(([, text]) => text(members[0]))]);
  return [...lines, '', ...table([['', 'layers', ...other.map(([label]) => label)], ...rows], { width, cell: 30 })];
}

const MOST_NAMES = 12;

/** Names in full when they are few; else counted by what stands before the first number. */
function skipped(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const title = ['', `${names.length} stored tensor${names.length === 1 ? '' : 's'} not used`];
  if (names.length <= MOST_NAMES) return [...title, ...names.map((name) => `  ${name}`)];
  const groups = new Map<string, number>();
  for (const name of names) {
    const group = /^\D*?(?=\.\d)/.exec(name)?.[0] ?? name.split('.').slice(0, 2).join('.');
    groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  return [...title, ...pairs([...groups].map(([group, size]) => [`  ${group}.*`, thousands(size)]))];
}
