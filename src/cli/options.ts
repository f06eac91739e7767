// Values of options, checked before anything is loaded.

import { InvalidArgumentError } from 'commander';

interface Range { readonly least?: number; readonly most?: number; readonly whole?: boolean }

/** A parser for a number within a range. */
export function number({ least = -Infinity, most = Infinity, whole = false }: Range): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const fits = text.trim() !== '' && Number.isFinite(value) && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (!fits) throw new InvalidArgumentError(`Expected ${whole ? 'a whole number' : 'a number'}${range(least, most)}.`);
    return value;
  };
}

function range(least: number, most: number): string {
  if (Number.isFinite(most)) return ` from ${least} to ${most}`;
  return Number.isFinite(least) ? ` of at least ${least}` : '';
}

/** Bytes: `8GB`, `512MB`, `1.5e9`. */
export function memorySize(text: string): number {
  const match = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?)b?$/i.exec(text.trim());
  if (!match) throw new InvalidArgumentError('Expected a size such as 8GB or 512MB.');
  return Number(match[1]) * 1000 ** ' kmgt'.indexOf(match[2].toLowerCase() || ' ');
}

/** Tokens of context; the longest published is 10,485,760. */
export const contextLength = number({ least: 1, most: 2 ** 24, whole: true });

/** Collects an option that may be given several times. */
export function several(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text];
}
