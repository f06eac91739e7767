// The repeated block as a box: its steps from the bottom up, the sums with their skip lines, and
// marks on the attention box. Where it leads on to panels is said by the places of its steps.

import { circle, flow } from './flow.js';
import type { LayerOutline } from './outline.js';
import type { StepKind, Sublayer } from './block.js';
import { at, bottom, labelled, lineHeight, right, SIZES } from './scene.js';
import type { Box, Item, Line, Text } from './scene.js';
import { textWidth } from './text.js';
import { attentionMarks, attentionName, feedForwardLabel } from './words.js';
import type { Mark } from './words.js';

const GAP = 15;
/** Between the block's edge and its boxes: on the left the skip lines run. */
const MARGIN = { left: 42, right: 18 };
const LEAST = 176;

/** A drawn block, and where the boxes are that panels open. */
export interface Stack {
  readonly box: Box;
  /** Where data enters and leaves. */
  readonly axis: number;
  readonly opens: readonly { readonly kind: StepKind; readonly x: number; readonly y: number }[];
}

export interface StackContent {
  readonly sublayers: readonly Sublayer[];
  readonly layers: readonly LayerOutline[];
  readonly learned: number | null;
  readonly differs: ReadonlySet<string>;
}

export function drawStack(content: StackContent): Stack {
  const rows = content.sublayers.map(({ steps, residual }) => ({ residual, boxes: steps.map((_, i) => stepBox(steps, i, content)) }));
  const width = Math.max(LEAST, ...rows.flatMap(({ boxes }) => boxes.map((box) => box.width)));
  const axis = MARGIN.left + width / 2;
  const items: Item[] = [];
  const opens: { kind: StepKind; x: number; y: number }[] = [];
  // Heights are measured from the block's lower edge, and turned round at the end.
  let [up, from] = [0, 0];
  const put = (box: Box): Box => {
    up += GAP;
    const placed = at(box, axis - box.width / 2, -(up + box.height));
    items.push(placed, flow([[axis, -from], [axis, bottom(placed)]]));
    up += box.height;
    from = up;
    return placed;
  };
  content.sublayers.forEach(({ steps, residual }, s) => {
    const fork = up + (residual ? GAP : 0);
    if (residual) up = fork;
    rows[s].boxes.forEach((box, i) => {
      const placed = put({ ...box, width: Math.max(box.width, steps[i].kind === 'norm' ? 0 : LEAST) });
      opens.push({ kind: steps[i].kind, x: right(placed), y: placed.y + placed.height / 2 });
    });
    if (residual) items.push(skipLine(axis, -fork, put(circle('add', '+'))));
  });
  const height = up + GAP;
  items.push(flow([[axis, -from], [axis, -height]], false));
  const box: Box = { kind: 'box', role: 'block', x: 0, y: 0, width: MARGIN.left + width + MARGIN.right, height, paint: 'block', shape: 'rounded', items: items.map((item) => lowered(item, height)) };
  return { box, axis, opens: opens.map((open) => ({ ...open, y: open.y + height })) };
}

function lowered(item: Item, by: number): Item {
  return item.kind === 'line' ? { ...item, points: item.points.map(([x, y]) => [x, y + by] as const) } : { ...item, y: item.y + by };
}

/** From the fork below a sublayer, round its left side, into the sum. */
function skipLine(axis: number, fork: number, sum: Box): Line {
  const x = MARGIN.left / 2;
  const y = sum.y + sum.height / 2;
  return { kind: 'line', role: 'skip', points: [[axis, fork], [x, fork], [x, y], [sum.x, y]], arrow: true };
}

function stepBox(steps: Sublayer['steps'], index: number, { layers, learned, differs }: StackContent): Box {
  const { kind, name } = steps[index];
  switch (kind) {
    case 'attention': return attentionBox(layers, learned, differs);
    case 'feedForward': {
      const { text, special } = feedForwardLabel(layers);
      return marked(sized(labelled('feedForward', special ? 'special' : 'feedForward', [text], { least: LEAST })), differs.has('feedForwardLabel'));
    }
    case 'norm': {
      // In front of a sublayer is where nearly all designs have it.
      const behind = steps.slice(0, index).some((step) => step.kind !== 'norm');
      return marked(labelled('norm', behind ? 'special' : 'norm', [name], { least: 110, size: 12 }), differs.has('norms'));
    }
    case 'other': return labelled('step', 'plain', [name], { least: 110, size: 12 });
    default: return kind satisfies never;
  }
}

const sized = (box: Box): Box => ({ ...box, height: box.height + 8, items: box.items.map((item) => lowered(item, 4)) });

/** A difference is a band behind one of the box's lines of text. */
export function marked(box: Box, differs: boolean, line = 0): Box {
  if (!differs) return box;
  const text = box.items.filter((item): item is Text => item.kind === 'text')[line];
  const width = textWidth(text.text, text.size, text.bold) + 8;
  const band: Box = { kind: 'box', role: 'difference', x: (box.width - width) / 2, y: text.y - text.size, width, height: text.size * 1.35, paint: 'difference', items: [] };
  return { ...box, items: [band, ...box.items] };
}

function attentionBox(layers: readonly LayerOutline[], learned: number | null, differs: ReadonlySet<string>): Box {
  const names = [...new Set(layers.map(({ description }) => attentionName(description)))];
  const special = layers.some(({ description }) => description.attention === 'MLA');
  const head = marked(labelled('attention', special ? 'special' : 'attention', names, { least: LEAST + 14 }), differs.has('attentionName'));
  const marks = attentionMarks(layers, learned).map((mark) => markBox(mark, differs.has(`mark:${mark.text}`)));
  if (marks.length === 0) return sized(head);
  const items: Item[] = [...head.items];
  let y = head.height - 2;
  for (const line of linesOf(marks, head.width - 16)) {
    const total = line.reduce((sum, box) => sum + box.width + 6, -6);
    let x = (head.width - total) / 2;
    for (const box of line) {
      items.push(at(box, x, y));
      x += box.width + 6;
    }
    y += line[0].height + 5;
  }
  return { ...head, height: y + 4, items };
}

function markBox({ text, special }: Mark, differs: boolean): Box {
  const width = Math.ceil(textWidth(text, SIZES.note) + 12);
  const height = lineHeight(SIZES.note) + 3;
  const words: Text = { kind: 'text', x: width / 2, y: height / 2 + 4, text, size: SIZES.note, anchor: 'middle', tone: special ? 'accent' : 'text' };
  const band: Box = { kind: 'box', role: 'difference', x: 4, y: 3, width: width - 8, height: height - 6, paint: 'difference', items: [] };
  return { kind: 'box', role: 'mark', x: 0, y: 0, width, height, paint: special ? 'special' : 'plain', shape: 'rounded', items: differs ? [band, words] : [words] };
}

/** Boxes side by side, as many as fit into a line. */
function linesOf(boxes: readonly Box[], width: number): Box[][] {
  const lines: Box[][] = [];
  let used = Infinity;
  for (const box of boxes) {
    if (used + 6 + box.width > width) {
      lines.push([]);
      used = -6;
    }
    lines.at(-1)!.push(box);
    used += 6 + box.width;
  }
  return lines;
}
