// Looks at a drawing before it is SVG: absolute places of everything, what lies over what, and a
// text form whose differences a person can read.

import type { Description } from '../../src/analysis/index.js';
import { describe as describeModel } from '../../src/analysis/index.js';
import { outline } from '../../src/analysis/diagram/outline.js';
import { layOut } from '../../src/analysis/diagram/page.js';
import { textBounds } from '../../src/analysis/diagram/scene.js';
import type { Box, Item, Line, Text } from '../../src/analysis/diagram/scene.js';

/** One release of each family, and the two that show what a family can vary. */
export const nine = ['gpt2-xl', 'deepseek-v3', 'olmo-2-1124-7b', 'gemma-3-27b', 'mistral-small-3.1', 'llama-4-maverick', 'qwen3-235b-a22b', 'smollm3-3b', 'kimi-k2'];
export const drawn = [...nine, 'qwen3-0.6b', 'llama-4-scout', 'deepseek-v2-lite', 'olmo-3.1-32b', 'llama-3.2-1b'];

const known = new Map<string, Promise<Box>>();

/** The drawing of models by name; drawn once. */
export function draw(...names: string[]): Promise<Box> {
  const key = names.join(' ');
  if (!known.has(key)) known.set(key, Promise.all(names.map((name) => outline(name))).then((outlines) => layOut(outlines).root));
  return known.get(key)!;
}

export async function drawDescriptions(...models: Description[]): Promise<Box> {
  return layOut(await Promise.all(models.map((model) => outline(model)))).root;
}

export const described = (name: string, change: Partial<Description> = {}): Promise<Description> =>
  describeModel(name, { context: 64 }).then((model) => ({ ...model, ...change }));

export interface Area { readonly x: number; readonly y: number; readonly width: number; readonly height: number }
interface Placed<T> { readonly item: T; readonly area: Area; readonly parents: readonly Box[] }

/** Everything in a drawing with its absolute place; lines have absolute points. */
export function flatten(root: Box): { boxes: Placed<Box>[]; texts: Placed<Text>[]; lines: { item: Line; parents: readonly Box[] }[] } {
  const found = { boxes: [] as Placed<Box>[], texts: [] as Placed<Text>[], lines: [] as { item: Line; parents: readonly Box[] }[] };
  const visit = (item: Item, dx: number, dy: number, parents: readonly Box[]): void => {
    if (item.kind === 'line') found.lines.push({ item: { ...item, points: item.points.map(([x, y]) => [x + dx, y + dy] as const) }, parents });
    if (item.kind === 'text') {
      const { x, y, width, height } = textBounds(item);
      found.texts.push({ item, area: { x: x + dx, y: y + dy, width, height }, parents });
    }
    if (item.kind !== 'box') return;
    found.boxes.push({ item, area: { x: item.x + dx, y: item.y + dy, width: item.width, height: item.height }, parents });
    for (const inner of item.items) visit(inner, dx + item.x, dy + item.y, [...parents, item]);
  };
  visit(root, 0, 0, []);
  return found;
}

const SLACK = 0.6;

export function overlap(a: Area, b: Area): boolean {
  return a.x + a.width > b.x + SLACK && b.x + b.width > a.x + SLACK && a.y + a.height > b.y + SLACK && b.y + b.height > a.y + SLACK;
}

export function within(inner: Area, outer: Area): boolean {
  return inner.x >= outer.x - SLACK && inner.y >= outer.y - SLACK && inner.x + inner.width <= outer.x + outer.width + SLACK && inner.y + inner.height <= outer.y + outer.height + SLACK;
}

const name = ({ item }: Placed<Box> | Placed<Text>) => (item.kind === 'text' ? `"${item.text}"` : `${item.role} ${wordsOf(item)}`.trim());

/** All that a reader would call wrong: outside of its box, over something else, crossed by a line. */
export function faults(root: Box): string[] {
  const { boxes, texts, lines } = flatten(root);
  const areaOf = new Map(boxes.map(({ item, area }) => [item, area]));
  // Bands behind text that differs are meant to lie under it.
  const solid = boxes.filter(({ item }) => item.paint && item.role !== 'page' && item.paint !== 'difference');
  const outside = [...boxes, ...texts].filter(({ area, parents }) => parents.some((parent) => !within(area, areaOf.get(parent)!)))
    .map((placed) => `${name(placed)} leaves ${placed.parents.find((parent) => !within(placed.area, areaOf.get(parent)!))!.role}`);
  const related = (a: Placed<Box> | Placed<Text>, b: Placed<Box> | Placed<Text>) => a.parents.includes(b.item as Box) || b.parents.includes(a.item as Box);
  const solids = [...solid, ...texts];
  const covered = solids.flatMap((a, i) => solids.slice(i + 1).filter((b) => overlap(a.area, b.area) && !related(a, b)).map((b) => `${name(a)} lies over ${name(b)}`));
  const crossed = lines.flatMap(({ item, parents }) => [
    ...texts.filter(({ area }) => crosses(item, area)), ...solid.filter((box) => !parents.includes(box.item) && !holds(box.area, item) && crosses(item, box.area)),
  ].filter(({ item: hit }) => !(hit.kind === 'box' && hit.role === 'block')).map((hit) => `a ${item.role} line crosses ${name(hit)}`));
  return [...outside, ...covered, ...crossed];
}

const holds = (area: Area, { points }: Line) => points.every(([x, y]) => within({ x, y, width: 0, height: 0 }, area)) && area.height > 120;

/** Whether an axis-parallel line passes through the inside of an area. */
function crosses({ points }: Line, area: Area): boolean {
  return points.slice(1).some(([x1, y1], i) => {
    const [x0, y0] = points[i];
    const segment = { x: Math.min(x0, x1) - SLACK, y: Math.min(y0, y1) - SLACK, width: Math.abs(x1 - x0) + 2 * SLACK, height: Math.abs(y1 - y0) + 2 * SLACK };
    return overlap(segment, { x: area.x + SLACK, y: area.y + SLACK, width: area.width - 2 * SLACK, height: area.height - 2 * SLACK });
  });
}

export function wordsOf(box: Box): string {
  return box.items.flatMap((item) => (item.kind === 'text' ? [item.text] : [])).join(' / ');
}

export function byRole(root: Box, role: string): Box[] {
  return flatten(root).boxes.map(({ item }) => item).filter((box) => box.role === role);
}

/** Roles (and names of norms) in a block, from the bottom up. */
export function order(block: Box): string[] {
  const steps = block.items.filter((item): item is Box => item.kind === 'box').sort((a, b) => b.y - a.y);
  return steps.map((step) => (step.role === 'norm' ? wordsOf(step) : step.role));
}

/** The drawing as text: one line per box, inner ones indented, from the top down; layers as letters. */
export function asText(root: Box): string {
  return `${textLines(root, '').join('\n')}\n`;
}

function textLines(box: Box, indent: string): string[] {
  if (box.role === 'strip') return [`${indent}strip ${stripText(box)}`];
  const inner = box.items.filter((item): item is Box => item.kind === 'box' && item.role !== 'difference').sort((a, b) => a.y - b.y || a.x - b.x);
  const skips = box.items.filter((item) => item.kind === 'line' && item.role === 'skip').length;
  const paint = box.paint && !['page', 'panel', 'block', 'difference'].includes(box.paint) ? ` (${box.paint})` : '';
  const words = wordsOf(box);
  return [`${indent}${box.role}${paint}${words ? ` ${words}` : ''}${skips ? ` (${skips} skip lines)` : ''}`, ...inner.flatMap((item) => textLines(item, `${indent}  `))];
}

/** Layers from the first on: `aaaaab…`. */
function stripText({ items }: Box): string {
  const cells = items.filter((item): item is Box => item.kind === 'box').sort((a, b) => b.y - a.y);
  const paints = [...new Set(cells.map(({ paint }) => paint))];
  return `${items.findLast((item): item is Text => item.kind === 'text')!.text}: ${cells.map(({ paint }) => String.fromCharCode(97 + paints.indexOf(paint))).join('')}`;
}
