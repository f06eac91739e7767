// The strip of layers beside a block: one cell per layer, the first at the bottom, in the shade of
// its sort; and how often the block is repeated.

import { thousands } from './numbers.js';
import { group, SIZES } from './scene.js';
import type { Box, Item, Text } from './scene.js';
import { textWidth } from './text.js';
import type { Sorts } from './panels.js';

const CELL = 14;
const PITCH = 28;

export interface Strip { readonly caption: string; readonly sorts: Sorts }

/** `× 61` */
export function repeats(layers: number): Box {
  const text = `× ${thousands(layers)}`;
  const width = Math.ceil(textWidth(text, 16, true)) + 4;
  return group('repeats', { width, height: 22 }, [{ kind: 'text', x: width / 2, y: 16, text, size: 16, bold: true, anchor: 'middle', tone: 'text' }]);
}

export function drawStrips(strips: readonly Strip[], total: number, { top, bottom }: { top: number; bottom: number }): Box[] {
  return strips.map(({ caption, sorts }, s) => {
    const sortOf = new Map(sorts.list.flatMap(({ indices }, sort) => indices.map((index) => [index, sort] as const)));
    const height = (bottom - top) / total;
    const cells = Array.from({ length: total }, (_, layer): Box => ({
      kind: 'box', role: 'layer', x: (PITCH - CELL) / 2, y: 14 + (total - 1 - layer) * height, width: CELL, height, paint: sorts.paintOf(sortOf.get(layer)!), items: [],
    }));
    const note = (text: string, y: number): Text => ({ kind: 'text', x: PITCH / 2, y, text, size: SIZES.tiny, anchor: 'middle', tone: 'note' });
    const end = 14 + bottom - top;
    const items: Item[] = [...cells, note(String(total - 1), 9), note('0', end + 11), note(caption, end + 23)];
    return { ...group('strip', { width: PITCH, height: end + 27 }, items), x: s * PITCH, y: top - 14 };
  });
}
