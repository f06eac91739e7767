// The panels beside a block: attention in words, the feed-forward opened. Where layers differ, each
// sort of layer has its rows under the shade that its cells have in the strip of layers.

import { feedForwardDrawing } from './flow.js';
import { at, group, lineHeight, SIZES } from './scene.js';
import type { Box, Item, Text } from './scene.js';
import { textWidth, wrapText } from './text.js';
import { shade } from './theme.js';
import type { Paint } from './theme.js';
import type { LayerOutline } from './outline.js';
import { attentionName, attentionRows, feedForwardRows, feedForwardTitle, layersText, rowTopic } from './words.js';
import type { Row, Sort } from './words.js';

/** Width of what stands in a panel. */
const INNER = 222;
const PAD = 12;
export const PANEL_WIDTH = INNER + 2 * PAD;
const SWATCH = 11;

/** Sorts of layer in a block, with the shades of their cells. */
export interface Sorts {
  readonly list: readonly Sort<LayerOutline>[];
  readonly paintOf: (sort: number) => Paint;
}

/** More sorts than this are counted, not shown. */
export const MOST_SORTS = 3;

/** Attention takes the first shades, feed-forward those behind them. */
export function sortPaint(first: number): (sort: number) => Paint {
  return (sort) => (sort < MOST_SORTS ? shade(first + sort) : 'empty');
}

export function attentionPanel({ list, paintOf }: Sorts, total: number, learned: number | null, differs: ReadonlySet<string>): Box {
  const shown = list.slice(0, MOST_SORTS);
  const rows = list.map(({ value }) => attentionRows(value, learned));
  const isShared = (row: Row) => rows.every((other) => other.some(({ topic, text }) => topic === row.topic && text === row.text));
  const names = [...new Set(list.map(({ value }) => attentionName(value.description)))];
  const parts: Box[] = [heading(names.join(', ')), ...rowBoxes(rows[0].filter(isShared), differs)];
  if (list.length > 1) shown.forEach(({ indices }, i) => {
    parts.push(sortHeading(layersText(indices, total), paintOf(i)), ...rowBoxes(rows[i].filter((row) => !isShared(row)), differs));
  });
  return panel('attentionPanel', [...parts, ...otherSorts(list, total, paintOf)]);
}

export function feedForwardPanels({ list, paintOf }: Sorts, total: number, differs: ReadonlySet<string>): Box[] {
  return list.slice(0, MOST_SORTS).map(({ value, indices }, i) => {
    const { mlp } = value.description;
    const rows = mlp?.kind === 'moe' ? feedForwardRows(value) : [];
    const several = list.length > 1;
    const more = i === Math.min(list.length, MOST_SORTS) - 1 ? otherSorts(list, total, paintOf) : [];
    return panel('feedForwardPanel', [
      heading(feedForwardTitle(mlp), mlp?.kind === 'dense' && differs.has(rowTopic('feedForward', feedForwardTitle(mlp)))),
      ...(several ? [sortHeading(layersText(indices, total), paintOf(i))] : []),
      ...rowBoxes(rows, differs), ...(mlp ? [centred(feedForwardDrawing(mlp))] : []), ...more,
    ]);
  });
}

function otherSorts(list: readonly Sort<LayerOutline>[], total: number, paintOf: (sort: number) => Paint): Box[] {
  const rest = list.slice(MOST_SORTS);
  if (rest.length === 0) return [];
  return [sortHeading(`${rest.length} more sorts in ${layersText(rest.flatMap(({ indices }) => indices).sort((a, b) => a - b), total)}`, paintOf(MOST_SORTS))];
}

function heading(text: string, differs = false): Box {
  return textBox('heading', wrapText(text, INNER, SIZES.heading, true), { size: SIZES.heading, bold: true, tone: 'text' }, differs);
}

function sortHeading(text: string, paint: Paint): Box {
  const lines = textBox('sort', wrapText(text, INNER - SWATCH - 6, SIZES.note, true), { size: SIZES.note, bold: true, tone: 'text' }, false);
  const swatch: Box = { kind: 'box', role: 'swatch', x: 0, y: 4, width: SWATCH, height: SWATCH, paint, items: [] };
  return group('sort', { width: INNER, height: lines.height + 4 }, [swatch, at(lines, SWATCH + 6, 2)]);
}

function rowBoxes(rows: readonly Row[], differs: ReadonlySet<string>): Box[] {
  return rows.map(({ topic, text, special }) =>
    textBox(`row:${topic}`, wrapText(text, INNER - 6, SIZES.note), { size: SIZES.note, tone: special ? 'accent' : 'text' }, differs.has(rowTopic(topic, text))));
}

/** Lines of text as one box as wide as they are; a difference is marked behind them. */
export function textBox(role: string, lines: readonly string[], look: Pick<Text, 'size' | 'bold' | 'tone'>, differs: boolean): Box {
  const step = lineHeight(look.size);
  const width = Math.ceil(Math.max(0, ...lines.map((line) => textWidth(line, look.size, look.bold)))) + 6;
  const items: Item[] = lines.map((text, i) => ({ kind: 'text', x: 3, y: i * step + look.size, text, anchor: 'start', ...look }));
  return { kind: 'box', role, x: 0, y: 0, width, height: lines.length * step + 1, items, ...(differs ? { paint: 'difference', shape: 'square' } : {}) };
}

function centred(drawing: Box): Box {
  return group('centred', { width: INNER, height: drawing.height + 6 }, [at(drawing, (INNER - drawing.width) / 2, 6)]);
}

/** Boxes under one another in a frame. */
function panel(role: string, parts: readonly Box[]): Box {
  let y = PAD;
  const items: Box[] = [];
  for (const part of parts) {
    items.push(at(part, PAD, y));
    y += part.height + 2;
  }
  return { kind: 'box', role, x: 0, y: 0, width: PANEL_WIDTH, height: Math.ceil(y + PAD - 4), paint: 'panel', shape: 'rounded', items };
}
