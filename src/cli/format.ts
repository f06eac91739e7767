// Numbers for people. JSON output has them exact.

/** 70,272 */
export function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

const COUNTS = [[1e6, 'M', 1], [1e9, 'B', 1], [1e12, 'T', 3]] as const;

/** 671.0B, 124.4M, 1.026T: counts of parameters; exact below a million. */
export function short(value: number): string {
  if (value < 1e6) return thousands(value);
  const texts = COUNTS.map(([size, unit, digits]) => ({ text: (value / size).toFixed(digits), unit }));
  // After rounding, so that 999,999,999 is 1.0B and not 1000.0M.
  const { text, unit } = texts.find(({ text: rounded }) => Number(rounded) < 1000) ?? texts[2];
  return `${text}${unit}`;
}

/** 70,272 B, 4.8 GB: exact below a megabyte, decimal units above. */
export function bytes(value: number): string {
  return value < 1e6 ? `${thousands(value)} B` : scaled(value, 'B');
}

/** 212.5 GFLOP */
export function flops(value: number): string {
  return scaled(value, 'FLOP');
}

function scaled(value: number, unit: string): string {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
  let at = 0;
  let rest = value;
  while (Number(rest.toFixed(1)) >= 1000 && at < prefixes.length - 1) {
    rest /= 1000;
    at++;
  }
  return `${at === 0 ? thousands(rest) : rest.toFixed(1)} ${prefixes[at]}${unit}`;
}

/** 12.3 % */
export function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`;
}

/** Ascending numbers as ranges: 0-4, 6-10, 12. */
export function ranges(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const value of numbers) {
    const run = runs.at(-1);
    if (run && run[1] === value - 1) run[1] = value;
    else runs.push([value, value]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}
