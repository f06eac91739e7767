// One model as a column: tokens at the bottom, logits at the top, the repeated block between them,
// panels to its right, a strip of layers to its left where layers differ, facts below.

import { circle, flow } from './flow.js';
import { thousands } from './numbers.js';
import type { Outline } from './outline.js';
import { attentionPanel, feedForwardPanels, PANEL_WIDTH, sortPaint } from './panels.js';
import { at, bottom, group, labelled, SIZES } from './scene.js';
import type { Box, Item, Line } from './scene.js';
import { drawStack, marked } from './stack.js';
import type { Stack } from './stack.js';
import { drawStrips, repeats } from './strip.js';
import { attentionRows, feedForwardRows, sortsOf } from './words.js';

const GAP = 18;
/** Between the block and its panels, where the lines that open them run. */
const GUTTER = 34;

export function drawColumn(outline: Outline, differs: ReadonlySet<string>): Box {
  const { layers, model } = outline;
  const total = layers.length;
  const learned = model.learnedPositions;
  const written = (rows: ReturnType<typeof attentionRows>) => JSON.stringify(rows);
  const attention = { list: sortsOf(layers, (layer) => written(attentionRows(layer, learned))), paintOf: sortPaint(0) };
  const feedForward = { list: sortsOf(layers, (layer) => written(feedForwardRows(layer))), paintOf: sortPaint(3) };
  const blocks = sortsOf(layers, ({ sublayers }) => JSON.stringify(sublayers));
  const stacks = blocks.map(({ value, indices }) => drawStack({ sublayers: value.sublayers, layers: indices.map((i) => layers[i]), learned, differs }));
  const strips = [
    { caption: 'attn', sorts: attention }, { caption: 'ffn', sorts: feedForward }, { caption: 'block', sorts: { list: blocks, paintOf: sortPaint(1) } },
  ].filter(({ sorts }) => sorts.list.length > 1);

  const repeatBoxes = blocks.map(({ indices }) => repeats(indices.length));
  const left = strips.length * 28 + Math.max(...repeatBoxes.map(({ width }) => width)) + 10;
  const main = mainStack(outline, stacks, differs);
  const panels = [...feedForwardPanels(feedForward, total, differs), attentionPanel(attention, total, learned, differs)];
  const panelX = left + main.width + GUTTER;
  const { height, top, placed } = placePanels(panels, panelX, main);
  const opens = openings(main.blocks.map((block) => at(block, left + block.x, top + block.y)), stacks, placed);
  const [first, last] = [main.blocks[0], main.blocks.at(-1)!];
  return group('column', { width: panelX + PANEL_WIDTH, height }, [
    at(group('main', main, main.items), left, top), ...placed, ...opens,
    ...main.blocks.map((block, i) => at(repeatBoxes[i], left - repeatBoxes[i].width - 6, top + block.y + block.height / 2 - repeatBoxes[i].height / 2)),
    ...drawStrips(strips, total, { top: top + last.y, bottom: top + bottom(first) }),
  ]);
}

interface Main { readonly width: number; readonly height: number; readonly items: readonly Item[]; readonly blocks: readonly Box[] }

/** Everything that data passes from tokens to logits, from the bottom up. */
function mainStack({ model, finalNorm, embeddingScale }: Outline, stacks: readonly Stack[], differs: ReadonlySet<string>): Main {
  const axis = Math.max(...stacks.map((stack) => stack.axis));
  const items: Item[] = [];
  const blocks: Box[] = [];
  let up = 0;
  const put = (box: Box, from = axis, arrow = true): Box => {
    const gap = up === 0 ? 0 : GAP;
    const placed = at(box, axis - from, -(up + gap + box.height));
    items.push(placed);
    if (gap) items.push(flow([[axis, -up], [axis, bottom(placed)]], arrow));
    up += gap + box.height;
    return placed;
  };
  const centred = (box: Box): Box => put(box, box.width / 2);
  centred(plainText('Tokens'));
  const table = labelled('embedding', 'frame', ['Token embedding', `${thousands(model.vocabularySize)} × ${thousands(model.hiddenSize)}`], { least: 160 });
  centred(marked(table, differs.has('vocabulary') || differs.has('hidden size'), 1));
  if (embeddingScale !== 1) centred(labelled('scale', 'special', [`scaled by ${thousands(Number(embeddingScale.toPrecision(4)))}`], { size: SIZES.note, least: 110 }));
  if (model.learnedPositions) items.push(...learnedPositions(centred(circle('add', '+')), model.learnedPositions));
  for (const stack of stacks) blocks.push(put(stack.box, stack.axis, false));
  centred(marked(labelled('finalNorm', 'norm', [finalNorm], { least: 110, size: 12 }), differs.has('finalNorm')));
  const tied = model.tiedHead ? 'tied to the embedding' : 'weights of its own';
  centred(marked(labelled('head', model.tiedHead ? 'special' : 'frame', ['Output head', tied], { least: 160 }), differs.has('head'), 1));
  centred(plainText('Logits'));
  const lower = (item: Item): Item => (item.kind === 'line' ? { ...item, points: item.points.map(([x, y]) => [x, y + up] as const) } : { ...item, y: item.y + up });
  const edge = (item: Item) => (item.kind === 'box' ? item.x + item.width : 0);
  return { width: Math.max(...items.map(edge)), height: up, items: items.map(lower), blocks: blocks.map((block) => at(block, block.x, block.y + up)) };
}

/** The table of positions, to the right of the sum that it enters. */
function learnedPositions(sum: Box, rows: number): Item[] {
  const box = labelled('positions', 'special', [`Positions, ${thousands(rows)}`], { size: SIZES.note });
  const y = sum.y + sum.height / 2;
  const placed = at(box, sum.x + sum.width + 20, y - box.height / 2);
  return [placed, flow([[placed.x, y], [sum.x + sum.width, y]])];
}

function plainText(text: string): Box {
  return { ...labelled('end', 'frame', [text], { size: SIZES.note }), paint: undefined };
}

/** Panels stand around the middle of the blocks; what is less high is moved to fit beside the other. */
function placePanels(panels: readonly Box[], x: number, main: Main): { height: number; top: number; placed: Box[] } {
  const gap = 14;
  const tall = panels.reduce((sum, box) => sum + box.height + gap, -gap);
  const height = Math.max(main.height, tall);
  const top = height - main.height;
  const middleOfBlocks = top + (main.blocks.at(-1)!.y + bottom(main.blocks[0])) / 2;
  let y = Math.min(Math.max(middleOfBlocks - tall / 2, 0), height - tall);
  const placed = panels.map((box) => {
    const here = at(box, x, y);
    y += box.height + gap;
    return here;
  });
  return { height, top, placed };
}

const PANEL_OF: Readonly<Record<string, string>> = { attention: 'attentionPanel', feedForward: 'feedForwardPanel' };

/** Lines from the boxes of a block to the panels that open them, none across another. */
function openings(blocks: readonly Box[], stacks: readonly Stack[], panels: readonly Box[]): Line[] {
  const ends = blocks.flatMap((block, b) => stacks[b].opens.flatMap(({ kind, x, y }) =>
    panels.filter(({ role }) => role === PANEL_OF[kind]).map((panel) => ({ from: [block.x + x, block.y + y] as const, to: [panel.x, panel.y + 22] as const, right: block.x + block.width }))));
  const sorted = ends.sort((a, b) => a.to[1] - b.to[1] || a.from[1] - b.from[1]);
  return sorted.map(({ from, to, right }, i) => {
    // Of lines that rise, the upper turns first; of lines that fall, the lower does.
    const rank = to[1] < from[1] ? i : sorted.length - 1 - i;
    const turn = right + ((rank + 1) * GUTTER) / (sorted.length + 1);
    return { kind: 'line', role: 'opens', points: [from, [turn, from[1]], [turn, to[1]], to] };
  });
}
