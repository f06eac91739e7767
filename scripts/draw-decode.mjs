// Draws docs/decode-by-design.svg from what bench/designs.mjs measured.
// Usage: node scripts/draw-decode.mjs docs/decode-by-design.json

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { shape, weights, threads, designs, experts } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const plain = designs.filter(({ kv }) => kv === 'f32');
const contexts = plain[0].points.map(({ context }) => context);

const [TOP, HEIGHT, WIDTH, GAP, LEFT] = [76, 250, 250, 140, 56];
const text = (x, y, content, cls = '', anchor = 'start') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${cls}" text-anchor="${anchor}">${content}</text>`;
const kilo = (n) => (n >= 1024 ? `${n / 1024}k` : String(n));
const significant = (n) => (n < 10 ? n.toFixed(1) : n.toFixed(0));
const bytes = (n) => (n < 1e9 ? `${significant(n / 1e6)} MB` : `${significant(n / 1e9)} GB`);

/** Labels at the lines' ends, moved apart where they would overlap. */
function spaced(ends) {
  const sorted = ends.toSorted((a, b) => a.y - b.y);
  for (let i = 1; i < sorted.length; i++) sorted[i].y = Math.max(sorted[i].y, sorted[i - 1].y + 13);
  return sorted;
}

/** Lines over the context, both axes logarithmic. */
function panel(left, title, note, ticks, valueOf, label) {
  const [low, high] = [ticks[0], ticks.at(-1)];
  const x = (context) => left + (Math.log2(context / contexts[0]) / Math.log2(contexts.at(-1) / contexts[0])) * WIDTH;
  const y = (value) => TOP + HEIGHT - (Math.log(value / low) / Math.log(high / low)) * HEIGHT;
  const grid = [
    ...ticks.map((tick) => `<line x1="${left}" x2="${left + WIDTH}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" class="grid"/>${text(left - 6, y(tick) + 4, label(tick), 'note', 'end')}`),
    ...contexts.map((context) => text(x(context), TOP + HEIGHT + 18, kilo(context), 'note', 'middle')),
  ];
  const lines = plain.map((design, i) => {
    const points = design.points.map((point) => `${x(point.context).toFixed(1)},${y(valueOf(point)).toFixed(1)}`);
    return `<polyline points="${points.join(' ')}" class="line c${i}"/>${points.map((point) => `<circle cx="${point.split(',')[0]}" cy="${point.split(',')[1]}" r="3" class="dot d${i}"/>`).join('')}`;
  });
  const ends = spaced(plain.map((design, i) => ({ y: y(valueOf(design.points.at(-1))) + 4, i, words: `${design.name}, ${label(valueOf(design.points.at(-1)))}` })));
  return [text(left, 28, title, 'head'), text(left, 46, note, 'note'), ...grid, ...lines, ...ends.map((end) => text(left + WIDTH + 8, end.y, end.words, `t${end.i}`))].join('\n');
}

function bars(left) {
  const most = Math.max(...experts.map(({ tokensPerSecond }) => tokensPerSecond));
  const rows = experts.map(({ active, tokensPerSecond, activeParameters }, i) => {
    const [top, length] = [TOP + 8 + i * 60, (tokensPerSecond / most) * 150];
    return [text(left, top + 12, `${active} of 32`, 'name'), text(left, top + 27, `${(activeParameters / 1e6).toFixed(0)} M a token`, 'note'), `<rect x="${left + 84}" y="${top + 2}" width="${length.toFixed(1)}" height="22" rx="2" class="d1"/>`, text(left + 90 + length, top + 17, significant(tokensPerSecond), 'note')].join('');
  });
  return [text(left, 28, 'Tokens per second by experts', 'head'), text(left, 46, `${(experts[0].parameters / 1e6).toFixed(0)} M parameters each, at 512 tokens`, 'note'), ...rows].join('\n');
}

const second = LEFT + WIDTH + GAP + 46;
const third = second + WIDTH + GAP + 10;
const [width, height] = [third + 276, TOP + HEIGHT + 56];
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Decode speed and KV cache of five attention designs by context, and of mixtures of experts by active experts">
<style>
  .page { fill: #fff } .head { font-size: 14px; font-weight: 600; fill: #1b1f24 } .name { fill: #1b1f24; font-weight: 600 } .note { fill: #57606a; font-size: 11px } .grid { stroke: #d8dee4 } .line { fill: none; stroke-width: 2 }
  .c0 { stroke: #57606a } .c1 { stroke: #2f5fb3 } .c2 { stroke: #5b8fe0 } .c3 { stroke: #b3622f } .c4 { stroke: #2f8f6b }
  .d0, .t0 { fill: #57606a } .d1, .t1 { fill: #2f5fb3 } .d2, .t2 { fill: #5b8fe0 } .d3, .t3 { fill: #b3622f } .d4, .t4 { fill: #2f8f6b }
  @media (prefers-color-scheme: dark) { .page { fill: #0d1117 } .head, .name { fill: #e6edf3 } .note { fill: #9da7b1 } .grid { stroke: #30363d }
    .c0 { stroke: #9da7b1 } .c1 { stroke: #6ea0ff } .c2 { stroke: #a9c6ff } .c3 { stroke: #e08b52 } .c4 { stroke: #4fc79b }
    .d0, .t0 { fill: #9da7b1 } .d1, .t1 { fill: #6ea0ff } .d2, .t2 { fill: #a9c6ff } .d3, .t3 { fill: #e08b52 } .d4, .t4 { fill: #4fc79b } }
</style>
<rect class="page" width="100%" height="100%"/>
${panel(LEFT, 'Decoded tokens per second', 'by tokens of context; both axes logarithmic', [1, 3, 10, 30, 100], ({ tokensPerSecond }) => tokensPerSecond, significant)}
${panel(second, 'Keys and values in float32', 'pages in use; half of it in f16', [3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 4e9], ({ kvBytes }) => kvBytes, bytes)}
${bars(third)}
${text(LEFT, height - 12, `Measured on the WebAssembly backend, ${threads} threads, weights in ${weights}; ${shape.layers} layers, ${(shape.parameters / 1e6).toFixed(0)} M parameters for every attention design (bench/designs.mjs).`, 'note')}
</svg>
`;
writeFileSync(join(root, 'docs/decode-by-design.svg'), svg);
