// `lamella compare`: the figures of several models side by side.

import type { Command } from 'commander';
import type { Comparison, ComparisonRow, Difference } from '../analysis/index.js';
import { bytes, flops, short, thousands } from './format.js';
import { printJson } from './io.js';
import type { Io } from './io.js';
import { contextLength } from './options.js';
import { table, wrap } from './table.js';

/** One release of each design, from 2019 to 2025. */
const NINE_DESIGNS = ['gpt2-xl', 'deepseek-v3', 'olmo-2-1124-7b', 'gemma-3-27b', 'mistral-small-3.1', 'llama-4-maverick', 'qwen3-235b-a22b', 'smollm3-3b', 'kimi-k2'];

export function registerCompare(program: Command, io: Io): void {
  program.command('compare')
    .description("show models' figures side by side, marking what differs")
    .argument('[models...]', 'directories, .gguf or config.json files, hub ids or names of published releases (default: nine designs, oldest first)')
    .option('--context <tokens>', 'context that cache and arithmetic are given for (default: 8192, or the longest where that is less)', contextLength)
    .option('--json', 'print all figures as JSON')
    .addHelpText('after', `
Only config.json is read: no weights are needed, and none at all for published releases.
Every figure is derived from the definition that runs. Caches and weights are in bf16.
Below the table of two models stands what differs between them, in words.

Examples:
  $ lamella compare
  $ lamella compare gpt2-xl deepseek-v3
  $ lamella compare qwen3-8b gemma-3-12b smollm3-3b --context 32768
  $ lamella compare ./my-model/config.json llama-3.2-1b --json`)
    .action(async (models: string[], options: { context?: number; json?: true }) => {
      const { compare, diffDescriptions } = await import('../analysis/index.js');
      const comparison = await compare(models.length > 0 ? models : NINE_DESIGNS, { context: options.context });
      const [a, b] = comparison.models;
      const differences = comparison.models.length === 2 ? diffDescriptions(a, b) : undefined;
      if (options.json) return printJson(io, { ...comparison, differences });
      const lines = [...comparisonLines(comparison, io.stdout.columns), ...(differences ? differenceLines(differences, io.stdout.columns) : [])];
      io.stdout.write(`${lines.join('\n')}\n`);
    });
}

/** Nine models fit a wide terminal with cells of this width. */
const CELL = 18;

export function comparisonLines({ models, rows }: Comparison, width?: number): string[] {
  const several = models.length > 1;
  const mark = (differs: boolean) => (several ? (differs ? '* ' : '  ') : '');
  const head = [mark(false), ...models.map(({ name }) => wrappable(name))];
  const body = rows.map((row) => [mark(row.differs) + row.label, ...row.values.map((value) => cellText(row.unit, value))]);
  const lines = table([head, ...body], { width, cell: CELL });
  return several ? [...lines, '', '* differs between the models'] : lines;
}

/** Below the table of two models: their differences as sentences. */
export function differenceLines(differences: readonly Difference[], width = 100): string[] {
  if (differences.length === 0) return ['', 'the two do not differ'];
  return ['', ...differences.flatMap(({ sentence }) => wrap(sentence, Math.max(width - 2, 20)).map((line, i) => (i === 0 ? `- ${line}` : `  ${line}`)))];
}

/** Lets a long hub id break behind its owner. */
function wrappable(name: string): string {
  return name.replace(/^([^/\s]+)\/([^/\s]+)$/, '$1/ $2');
}

function cellText(unit: ComparisonRow['unit'], value: number | string): string {
  if (typeof value === 'string') return value;
  switch (unit) {
    case 'parameters': return short(value);
    case 'bytes': return bytes(value);
    case 'flops': return flops(value);
    case 'count': case 'tokens': case 'text': return thousands(value);
    default: return unit satisfies never;
  }
}
