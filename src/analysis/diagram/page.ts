// Columns side by side, what they share in height aligned, differences between them marked, and a
// legend of what the marks mean.

import { drawColumn } from './column.js';
import { shortName } from './numbers.js';
import type { Outline } from './outline.js';
import { textBox } from './panels.js';
import { at, bottom, group, lineHeight, SIZES } from './scene.js';
import type { Box, Item, Text } from './scene.js';
import type { Scene } from './svg.js';
import { textWidth, wrapText } from './text.js';
import { differingTopics, facts, normsText } from './words.js';

const MARGIN = 24;
/** Between two models. */
const BETWEEN = 36;

export interface PageOptions {
  /** Models in a row; all of them up to four, else three. */
  readonly columns?: number;
}

/** Lays out one drawing of one or more models. */
export function layOut(outlines: readonly Outline[], { columns }: PageOptions = {}): Scene {
  const inRow = Math.min(outlines.length, columns ?? (outlines.length <= 4 ? 4 : 3));
  const differs = differingTopics(outlines);
  const models = outlines.map((outline) => drawModel(outline, differs));
  const widths = Array.from({ length: inRow }, (_, c) => Math.max(...models.filter((_, i) => i % inRow === c).map((model) => model.width)));
  const items: Box[] = [];
  let y = MARGIN;
  for (let start = 0; start < models.length; start += inRow) {
    const row = models.slice(start, start + inRow);
    const heights = (['title', 'column', 'facts'] as const).map((part) => Math.max(...row.map((model) => model[part].height)));
    let x = MARGIN;
    row.forEach((model, c) => {
      items.push(at(assembled(model, heights), x, y));
      x += widths[c] + BETWEEN;
    });
    y = bottom(items.at(-1)!) + BETWEEN;
  }
  const width = 2 * MARGIN + widths.reduce((sum, one) => sum + one + BETWEEN, -BETWEEN);
  const hasStrips = models.some(({ column }) => column.items.some((item) => item.kind === 'box' && item.role === 'strip'));
  const legend = at(drawLegend(width - 2 * MARGIN, outlines.length > 1, hasStrips), MARGIN, y - 12);
  const height = Math.ceil(bottom(legend) + MARGIN - 8);
  return { title: titleOf(outlines), root: { kind: 'box', role: 'page', x: 0, y: 0, width: Math.ceil(width), height, paint: 'page', items: [...items, legend] } };
}

function titleOf(outlines: readonly Outline[]): string {
  const names = outlines.map(({ model }) => shortName(model.name));
  return names.length === 1 ? `Architecture of ${names[0]}` : `Architectures of ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

interface Model { readonly width: number; readonly title: Box; readonly column: Box; readonly facts: Box }

function drawModel(outline: Outline, differs: ReadonlySet<string>): Model {
  const column = drawColumn(outline, differs);
  return { width: column.width, title: drawTitle(outline, column.width), column, facts: drawFacts(outline, column.width, differs) };
}

/** Title above, column on the ground that the row shares, facts below. */
function assembled({ width, title, column, facts: below }: Model, [titles, columns, bottoms]: readonly number[]): Box {
  const ground = titles + 10 + columns;
  return group('model', { width, height: ground + 12 + bottoms }, [title, at(column, 0, ground - column.height), at(below, 0, ground + 12)]);
}

const TITLE_LINES = 3;

function drawTitle({ model }: Outline, width: number): Box {
  const lines = wrapText(shortName(model.name), width - 10, SIZES.title, true);
  const shown = lines.length > TITLE_LINES ? [...lines.slice(0, TITLE_LINES - 1), `${lines[TITLE_LINES - 1].slice(0, -2)}…`] : lines;
  const step = lineHeight(SIZES.title);
  const items: Text[] = shown.map((text, i) => ({ kind: 'text', x: 0, y: (i + 1) * step - 7, text, size: SIZES.title, bold: true, anchor: 'start', tone: 'text' }));
  return group('title', { width, height: shown.length * step }, items);
}

/** Facts in two columns, and where the norms stand in one line. */
function drawFacts(outline: Outline, width: number, differs: ReadonlySet<string>): Box {
  const pad = 12;
  const list = facts(outline);
  const half = Math.ceil(list.length / 2);
  const labelWidth = Math.max(...list.map(([label]) => textWidth(label, SIZES.note))) + 10;
  const step = lineHeight(SIZES.note) + 3;
  const columnWidth = (width - 2 * pad) / 2;
  const items: Item[] = list.flatMap(([label, value], i) => {
    const [x, y] = [pad + Math.floor(i / half) * columnWidth, pad + (i % half) * step];
    return factItems(label, [value], x, y, labelWidth, differs.has(label));
  });
  const norms = [...new Set(outline.layers.map(({ sublayers }) => normsText(sublayers)))].join('; ');
  const lines = wrapText(norms, width - 2 * pad - labelWidth - 6, SIZES.note);
  const y = pad + half * step;
  items.push(...factItems('norms', lines, pad, y, labelWidth, differs.has('norms')));
  const height = y + lines.length * lineHeight(SIZES.note) + pad;
  return { kind: 'box', role: 'facts', x: 0, y: 0, width, height, paint: 'panel', shape: 'rounded', items };
}

function factItems(label: string, value: readonly string[], x: number, y: number, labelWidth: number, differs: boolean): Item[] {
  const name: Text = { kind: 'text', x, y: y + SIZES.note, text: label, size: SIZES.note, anchor: 'start', tone: 'note' };
  return [name, at(textBox(`fact:${label}`, value, { size: SIZES.note, tone: 'text' }, differs), x + labelWidth, y)];
}

/** What marks mean, in as many lines as they need. */
function drawLegend(width: number, several: boolean, strips: boolean): Box {
  const entries: Item[][] = [
    legendEntry('special', 'special: not in the plain design (norms in front, multi-head or grouped-query attention, RoPE, all tokens seen, dense feed-forward, own head)', width),
    ...(several ? [legendEntry('difference', 'differs between these models', width)] : []),
    ...(strips ? [legendEntry('shade0', 'strip: one cell per layer, the first at the bottom; its shade as in the panels', width)] : []),
    legendEntry(undefined, 'KV cache in bf16', width),
  ];
  const items: Box[] = [];
  let [x, y, tall] = [0, 0, 0];
  for (const entry of entries) {
    const box = entry[0] as Box;
    if (x > 0 && x + box.width > width) [x, y, tall] = [0, y + tall + 4, 0];
    items.push(at(box, x, y));
    x += box.width + 24;
    tall = Math.max(tall, box.height);
  }
  return group('legend', { width, height: y + tall }, items);
}

function legendEntry(paint: Box['paint'], text: string, width: number): Item[] {
  const indent = paint ? 22 : 0;
  const words = textBox('legendText', wrapText(text, width - indent - 6, SIZES.note), { size: SIZES.note, tone: 'note' }, false);
  const sample: Box[] = paint ? [{ kind: 'box', role: 'sample', x: 1, y: 3, width: 15, height: 11, paint, items: [] }] : [];
  return [group('legendEntry', { width: indent + words.width, height: words.height }, [...sample, at(words, indent, 0)])];
}
