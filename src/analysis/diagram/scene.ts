// What a drawing is before it is SVG: boxes within boxes, texts and lines, placed in pixels. Tests
// measure this, and `render` turns it into elements without moving anything.

import { textWidth } from './text.js';
import type { Paint } from './theme.js';

/** A rectangle, or an ellipse, whose items are placed from its own top left corner. */
export interface Box {
  readonly kind: 'box';
  /** What it stands for: `norm`, `attention`, `panel`, … */
  readonly role: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Absent: not painted, a group. */
  readonly paint?: Paint;
  readonly shape?: 'rounded' | 'round' | 'square';
  readonly dashed?: boolean;
  readonly items: readonly Item[];
}

/** One line of text; `x` is its start, middle or end, `y` its baseline. */
export interface Text {
  readonly kind: 'text';
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly size: number;
  readonly bold?: boolean;
  readonly anchor: 'start' | 'middle' | 'end';
  readonly tone: 'text' | 'note' | 'accent';
}

/** Straight pieces through `points`, with an arrow at the end where it says so. */
export interface Line {
  readonly kind: 'line';
  readonly role: 'flow' | 'skip' | 'opens';
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly arrow?: boolean;
}

export type Item = Box | Text | Line;

export interface Size { readonly width: number; readonly height: number }

export const SIZES = { title: 18, heading: 12.5, label: 13, note: 11, tiny: 9.5 } as const;

/** From one baseline to the next. */
export function lineHeight(size: number): number {
  return Math.round(size * 1.4);
}

/** The extent of a text, from the top of its letters to below their tails. */
export function textBounds({ x, y, text, size, bold, anchor }: Text): Size & { x: number; y: number } {
  const width = textWidth(text, size, bold);
  const left = anchor === 'start' ? x : anchor === 'middle' ? x - width / 2 : x - width;
  return { x: left, y: y - size * 0.8, width, height: size * 1.05 };
}

export function at(box: Box, x: number, y: number): Box {
  return { ...box, x, y };
}

export function group(role: string, { width, height }: Size, items: readonly Item[]): Box {
  return { kind: 'box', role, x: 0, y: 0, width, height, items };
}

/** A box with centred lines of text, the first of them in label size. */
export function labelled(role: string, paint: Paint, lines: readonly string[], { least = 0, size = SIZES.label, pad = 20 }: { least?: number; size?: number; pad?: number } = {}): Box {
  const sizeOf = (i: number) => (i === 0 ? size : Math.min(size, SIZES.note));
  const width = Math.ceil(Math.max(least, ...lines.map((line, i) => textWidth(line, sizeOf(i)) + pad)));
  const items: Text[] = [];
  let y = 7;
  lines.forEach((text, i) => {
    items.push({ kind: 'text', x: width / 2, y: y + sizeOf(i) * 0.9, text, size: sizeOf(i), anchor: 'middle', tone: 'text' });
    y += lineHeight(sizeOf(i));
  });
  return { kind: 'box', role, x: 0, y: 0, width, height: Math.ceil(y + 5), paint, shape: 'rounded', items };
}

export const centre = ({ x, width }: Box): number => x + width / 2;
export const middle = ({ y, height }: Box): number => y + height / 2;
export const bottom = ({ y, height }: Box): number => y + height;
export const right = ({ x, width }: Box): number => x + width;
