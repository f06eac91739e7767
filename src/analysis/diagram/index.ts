// Draws architectures as SVG, from the calls that their definitions make: one column per model,
// side by side, with what is special and what differs marked.

import type { DescribeOptions, Description } from '../describe.js';
import type { DescribeSource } from '../source.js';
import { outline } from './outline.js';
import type { Outline } from './outline.js';
import { layOut } from './page.js';
import { render } from './svg.js';
import { themes } from './theme.js';
import type { ThemeName } from './theme.js';

export type { ThemeName as DiagramTheme } from './theme.js';

export interface DiagramOptions extends Pick<DescribeOptions, 'revision' | 'signal'> {
  /** `light` unless told; `print` has no colours. */
  readonly theme?: ThemeName;
  /** Models in a row: all of them up to four, else three. */
  readonly columns?: number;
}

export interface Drawing {
  readonly svg: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** A path, hub id, built-in name, config or checkpoint, or what `describe` gave. */
export type DiagramSource = DescribeSource | Description;

/**
 * The SVG text of one or more models: names, paths, configs, or what `describe` gave. Of a
 * description alone the order within a block is what its `norms` say, and the router is not known.
 */
export async function diagram(sources: DiagramSource | readonly DiagramSource[], options: DiagramOptions = {}): Promise<string> {
  return (await drawDiagram(sources, options)).svg;
}

/** As `diagram`, with the size. */
export async function drawDiagram(sources: DiagramSource | readonly DiagramSource[], { theme = 'light', columns, ...options }: DiagramOptions = {}): Promise<Drawing> {
  if (!Object.hasOwn(themes, theme)) throw new RangeError(`theme must be ${Object.keys(themes).join(', ')}, got ${String(theme)}`);
  if (columns !== undefined && !(Number.isInteger(columns) && columns >= 1)) throw new RangeError(`columns must be a whole number of at least 1, got ${columns}`);
  const isList = Array.isArray(sources) && !sources.some((item) => item instanceof Blob);
  const list = (isList ? sources : [sources]) as readonly DiagramSource[];
  if (list.length === 0) throw new RangeError('there is nothing to draw: no models were given');
  const outlines: Outline[] = [];
  for (const source of list) outlines.push(await outline(source, options));
  const scene = layOut(outlines, { columns });
  return { svg: render(scene, theme), width: scene.root.width, height: scene.root.height };
}
