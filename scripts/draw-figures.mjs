// Draws docs/designs.svg, the README's picture: what nine designs cost, from the analysis library
// (build first). Usage: node scripts/draw-figures.mjs

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from '../dist/analysis/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const CONTEXT = 32768;
const models = [
  ['gpt2-xl', 'GPT-2 XL', 2019], ['deepseek-v3', 'DeepSeek V3', 2024], ['olmo-2-1124-7b', 'OLMo 2 7B', 2024], ['gemma-3-27b', 'Gemma 3 27B', 2025],
  ['mistral-small-3.1', 'Mistral Small 3.1', 2025], ['llama-4-maverick', 'Llama 4 Maverick', 2025], ['qwen3-235b-a22b', 'Qwen3 235B-A22B', 2025],
  ['smollm3-3b', 'SmolLM3 3B', 2025], ['kimi-k2', 'Kimi K2', 2025],
];

const rows = [];
for (const [source, name, year] of models) {
  const d = await describe(source);
  const context = Math.min(CONTEXT, d.contextLength);
  const [kind] = Object.entries(d.layers.reduce((seen, l) => ({ ...seen, [l.attention]: (seen[l.attention] ?? 0) + 1 }), {}))[0];
  rows.push({ name, year, kind, total: d.parameters.total, active: d.parameters.active, perToken: d.kvBytesPerToken, kept: d.kvBytes(context), context });
}

const short = (n, units) => { let i = 0; while (n >= 1000 && i < units.length - 1) { n /= 1000; i++; } return `${n < 10 ? n.toFixed(1) : n.toFixed(0)} ${units[i]}`.trim(); };
const count = (n) => short(n / 1e6, ['M', 'B', 'T']);
const bytes = (n) => short(n / 1e3, ['kB', 'MB', 'GB']);

const [LEFT, WIDTH, ROW, TOP] = [168, 300, 34, 74];
const height = TOP + rows.length * ROW + 44;
/** Bar length on a logarithmic scale from `low` to `high`. */
const log = (value, low, high) => Math.max(2, (Math.log(value / low) / Math.log(high / low)) * WIDTH);
const text = (x, y, content, cls = '', anchor = 'start') => `<text x="${x}" y="${y}" class="${cls}" text-anchor="${anchor}">${content}</text>`;
/** Bar length in proportion to gigabytes. */
const linear = (value) => Math.max(2, (value / 1.7e10) * WIDTH);
const bar = (x, y, w, h, cls) => `<rect x="${x}" y="${y}" width="${w.toFixed(1)}" height="${h}" rx="2" class="${cls}"/>`;

const right = LEFT + WIDTH + 96;
const body = rows.flatMap((r, i) => {
  const y = TOP + i * ROW;
  const lower = r.kept < r.perToken * r.context;
  return [
    text(LEFT - 14, y + 12, r.name, 'name', 'end'), text(LEFT - 14, y + 25, `${r.year}, ${r.kind}`, 'note', 'end'),
    bar(LEFT, y + 1, log(r.total, 1e8, 2e12), 11, 'total'), bar(LEFT, y + 14, log(r.active, 1e8, 2e12), 11, 'active'),
    text(LEFT + log(r.total, 1e8, 2e12) + 6, y + 10, count(r.total), 'note'),
    r.active < r.total * 0.99 ? text(LEFT + log(r.active, 1e8, 2e12) + 6, y + 23, `${count(r.active)} per token`, 'note') : '',
    bar(right, y + 1, linear(r.perToken * r.context), 11, 'kv'), bar(right, y + 14, linear(r.kept), 11, lower ? 'kept' : 'kv2'),
    text(right + linear(r.perToken * r.context) + 6, y + 10, `${bytes(r.perToken)} per token`, 'note'),
    text(right + linear(r.kept) + 6, y + 23, `${bytes(r.kept)} at ${r.context.toLocaleString('en')}`, 'note'),
  ];
});

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${right + WIDTH + 150} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Parameters and KV cache of nine designs">
<style>
  .page { fill: #fff } .head { font-size: 14px; font-weight: 600; fill: #1b1f24 } .name { fill: #1b1f24; font-weight: 600 } .note { fill: #57606a; font-size: 11px }
  .total { fill: #b6c7e6 } .active { fill: #2f5fb3 } .kv { fill: #e6c9b6 } .kv2 { fill: #b3622f } .kept { fill: #2f8f6b }
  @media (prefers-color-scheme: dark) { .page { fill: #0d1117 } .head, .name { fill: #e6edf3 } .note { fill: #9da7b1 } .total { fill: #34496f } .active { fill: #6ea0ff } .kv { fill: #5c4536 } .kv2 { fill: #e08b52 } .kept { fill: #4fc79b } }
</style>
<rect class="page" width="100%" height="100%"/>
${text(LEFT, 28, 'Parameters: all, and those a token uses', 'head')}${text(LEFT, 46, 'logarithmic, 100 M to 2 T', 'note')}
${text(right, 28, 'KV cache in bf16: of all tokens, and what is kept of it', 'head')}${text(right, 46, `at ${CONTEXT.toLocaleString('en')} tokens, or the longest context; green: windows and chunks forget`, 'note')}
${body.join('\n')}
${text(LEFT - 14, height - 14, 'Every figure is derived from the definition that runs (lamella compare).', 'note')}
</svg>
`;
writeFileSync(join(root, 'docs/designs.svg'), svg);
console.log(rows.map((r) => `${r.name}: ${r.total} ${r.active} ${r.perToken} ${r.kept}`).join('\n'));
