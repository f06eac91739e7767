// Writes a placed scene as SVG. Presentation attributes only, so that the text also draws the same
// inside a page that has several such pictures, and in programs that know no CSS.

import type { Box, Item, Line, Text } from './scene.js';
import { escapeXml, FONT } from './text.js';
import { themes } from './theme.js';
import type { Paint, Theme, ThemeName } from './theme.js';

export interface Scene {
  readonly title: string;
  readonly root: Box;
}

export function render({ title, root }: Scene, themeName: ThemeName): string {
  const { width, height } = root;
  const body = elements(root, 0, 0, themes[themeName]);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}" role="img" aria-label="${escapeXml(title)}">
<title>${escapeXml(title)}</title>
${body.join('\n')}
</svg>
`;
}

function elements(item: Item, x: number, y: number, theme: Theme): string[] {
  switch (item.kind) {
    case 'box': return [...boxElement(item, x, y, theme), ...item.items.flatMap((inner) => elements(inner, x + item.x, y + item.y, theme))];
    case 'text': return [textElement(item, x, y, theme)];
    case 'line': return lineElements(item, x, y, theme);
    default: return item satisfies never;
  }
}

function boxElement(box: Box, dx: number, dy: number, theme: Theme): string[] {
  if (!box.paint) return [];
  const { fill, stroke, width: weight } = paintOf(box.paint, theme);
  const look = `fill="${fill}"${stroke === 'none' ? '' : ` stroke="${stroke}" stroke-width="${weight}"`}${box.dashed ? ' stroke-dasharray="4 3"' : ''}`;
  const { width, height } = box;
  const [x, y] = [dx + box.x, dy + box.y];
  if (box.shape === 'round') return [`<ellipse cx="${n(x + width / 2)}" cy="${n(y + height / 2)}" rx="${n(width / 2)}" ry="${n(height / 2)}" ${look}/>`];
  const radius = box.shape === 'rounded' ? (height > 120 ? 12 : 5) : 0;
  return [`<rect x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}"${radius ? ` rx="${radius}"` : ''} ${look}/>`];
}

function paintOf(paint: Paint, theme: Theme): { fill: string; stroke: string; width: number } {
  if (paint in theme.paints) return theme.paints[paint as keyof Theme['paints']];
  return { fill: theme.shades[Number(paint.slice('shade'.length))], stroke: theme.shadeStroke, width: 0.6 };
}

function textElement({ x, y, text, size, bold, anchor, tone }: Text, dx: number, dy: number, theme: Theme): string {
  const place = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
  return `<text x="${n(dx + x)}" y="${n(dy + y)}" font-size="${size}"${bold ? ' font-weight="700"' : ''}${place} fill="${theme[tone]}">${escapeXml(text)}</text>`;
}

const ARROW = { length: 7, half: 3.2 };

function lineElements({ role, points, arrow }: Line, dx: number, dy: number, theme: Theme): string[] {
  const placed = points.map(([x, y]) => [dx + x, dy + y] as const);
  const colour = theme[role];
  const path = placed.map(([x, y]) => `${n(x)},${n(y)}`).join(' ');
  const line = `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.2"${role === 'opens' ? ' stroke-dasharray="3 3"' : ''}/>`;
  if (!arrow) return [line];
  const [[x0, y0], [x1, y1]] = placed.slice(-2);
  const long = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [ux, uy] = [(x1 - x0) / long, (y1 - y0) / long];
  const corner = (side: number) => `${n(x1 - ux * ARROW.length - uy * ARROW.half * side)},${n(y1 - uy * ARROW.length + ux * ARROW.half * side)}`;
  return [line, `<polygon points="${n(x1)},${n(y1)} ${corner(1)} ${corner(-1)}" fill="${colour}"/>`];
}

/** At most two digits behind the point. */
function n(value: number): string {
  return String(Math.round(value * 100) / 100);
}
