// Numbers as a person writes them in a drawing or a sentence.

/** 70,272 */
export function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

/** 671.0B, 124.4M, 1.03T; exact below a million. */
export function parameters(value: number): string {
  if (value < 1e6) return thousands(value);
  for (const [size, unit, digits] of [[1e6, 'M', 1], [1e9, 'B', 1]] as const) {
    const text = (value / size).toFixed(digits);
    // After rounding, so that 999,999,999 is 1.0B and not 1000.0M.
    if (Number(text) < 1000) return text + unit;
  }
  return `${(value / 1e12).toFixed(2)}T`;
}

/** 70,272 B, 4.8 GB: exact below a megabyte, decimal units above. */
export function bytes(value: number): string {
  if (value < 1e6) return `${thousands(value)} B`;
  const units = ['MB', 'GB', 'TB', 'PB'];
  let [rest, unit] = [value / 1e6, 0];
  while (Number(rest.toFixed(1)) >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${rest.toFixed(1)} ${units[unit]}`;
}

/** `8 heads`, `1 head` */
export function count(value: number, noun: string): string {
  return `${thousands(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** The part of a hub id that names the model. */
export function shortName(name: string): string {
  return /^[^/\s]+\/([^/\s]+)$/.exec(name)?.[1] ?? name;
}
