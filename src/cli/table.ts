// Tables of text: long cells are wrapped, and a table wider than the terminal is cut into blocks of
// columns that repeat the first, so that no line is ever broken by the terminal.

export interface TableOptions {
  /** Columns of the terminal; unlimited when absent. */
  readonly width?: number;
  /** Widest a cell may be before it is wrapped. */
  readonly cell?: number;
  /** Columns whose text ends at the right edge. */
  readonly right?: readonly number[];
}

const GAP = '  ';

/** Lines of a table whose first row is its head. */
export function table(rows: readonly (readonly string[])[], { width = Infinity, cell = 24, right = [] }: TableOptions = {}): string[] {
  const wrapped = rows.map((row) => row.map((text, column) => (column === 0 ? [text] : wrap(text, cell))));
  const widths = rows[0].map((_, column) => Math.max(...wrapped.map((row) => Math.max(...row[column].map((line) => line.length)))));
  const blocks = blocksOf(widths, width);
  return blocks.flatMap((columns, block) => [
    ...(block > 0 ? [''] : []),
    ...wrapped.flatMap((row) => rowLines(row, columns, widths, right)),
  ]);
}

/** Which columns stand side by side: the first in every block, and at least one more. */
function blocksOf(widths: readonly number[], width: number): number[][] {
  const blocks: number[][] = [];
  let used = 0;
  for (let column = 1; column < widths.length; column++) {
    used += GAP.length + widths[column];
    if (blocks.length > 0 && used <= width) {
      blocks.at(-1)!.push(column);
      continue;
    }
    blocks.push([0, column]);
    used = widths[0] + GAP.length + widths[column];
  }
  return blocks.length > 0 ? blocks : [[0]];
}

function rowLines(row: readonly (readonly string[])[], columns: readonly number[], widths: readonly number[], right: readonly number[]): string[] {
  const height = Math.max(...columns.map((column) => row[column].length));
  return Array.from({ length: height }, (_, line) => columns.map((column) => {
    const text = row[column][line] ?? '';
    return right.includes(column) ? text.padStart(widths[column]) : text.padEnd(widths[column]);
  }).join(GAP).trimEnd());
}

/** Breaks a text at spaces into lines of at most `width`, and words that are longer behind hyphens. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const pieces = word.length > width ? word.split(/(?<=-)/) : [word];
    pieces.forEach((piece, i) => {
      const gap = line === '' || i > 0 ? '' : ' ';
      if (line !== '' && line.length + gap.length + piece.length > width) {
        lines.push(line);
        line = piece;
      } else {
        line += gap + piece;
      }
    });
  }
  return [...lines, line];
}

/** `label   value` lines under one another. */
export function pairs(entries: readonly (readonly [label: string, value: string])[], indent = ''): string[] {
  const width = Math.max(...entries.map(([label]) => label.length));
  return entries.map(([label, value]) => `${indent}${label.padEnd(width)}${GAP}${value}`.trimEnd());
}
