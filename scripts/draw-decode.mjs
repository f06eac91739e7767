// Draws docs/decode-by-design.svg from what bench/designs.mjs measured.
// Usage: node scripts/draw-decode.mjs docs/decode-by-design.json

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bars, lines, page, panelSize } from './chart.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { shape, weights, threads, designs, experts } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const plain = designs.filter(({ kv }) => kv === 'f32');

const [LEFT, GAP] = [56, 140];
const kilo = (n) => (n >= 1024 ? `${n / 1024}k` : String(n));
const significant = (n) => (n < 10 ? n.toFixed(1) : n.toFixed(0));
const bytes = (n) => (n < 1e9 ? `${significant(n / 1e6)} MB` : `${significant(n / 1e9)} GB`);

/** Lines over the context, both axes logarithmic. */
function byContext(left, title, note, ticks, valueOf, label) {
  const series = plain.map(({ name, points }) => ({ name, points: points.map((point) => ({ x: point.context, y: valueOf(point) })) }));
  const x = { ticks: plain[0].points.map(({ context }) => context), log: true, label: kilo };
  return lines({ left, title, note, x, y: { ticks, log: true, label }, series, words: ({ name, points }) => `${name}, ${label(points.at(-1).y)}` });
}

const second = LEFT + panelSize.width + GAP + 46;
const third = second + panelSize.width + GAP + 10;
const panels = [
  byContext(LEFT, 'Decoded tokens per second', 'by tokens of context; both axes logarithmic', [1, 3, 10, 30, 100], ({ tokensPerSecond }) => tokensPerSecond, significant),
  byContext(second, 'Keys and values in float32', 'pages in use; half of it in f16', [3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 4e9], ({ kvBytes }) => kvBytes, bytes),
  bars({
    left: third, title: 'Tokens per second by experts', note: `${(experts[0].parameters / 1e6).toFixed(0)} M parameters each, at 512 tokens`,
    rows: experts.map(({ active, tokensPerSecond, activeParameters }) => ({ name: `${active} of 32`, note: `${(activeParameters / 1e6).toFixed(0)} M a token`, value: tokensPerSecond, label: significant(tokensPerSecond) })),
  }),
];
writeFileSync(join(root, 'docs/decode-by-design.svg'), page({
  width: third + 276, about: 'Decode speed and KV cache of five attention designs by context, and of mixtures of experts by active experts', panels,
  source: `Measured on the WebAssembly backend, ${threads} threads, weights in ${weights}; ${shape.layers} layers, ${(shape.parameters / 1e6).toFixed(0)} M parameters for every attention design (bench/designs.mjs).`,
}));
