// Configs as text. JSON has one kind of number and Python two: what was written 1.0 must not come
// back as 1, which strict readers of a config refuse where a float belongs.

/** Keys whose numbers are spelled as floats in a JSON text (`"factor": 32.0`, `1e-6`). */
export function floatKeys(text: string): Set<string> {
  const keys = new Set<string>();
  for (const [, key] of text.matchAll(/"([^"\\]+)"\s*:\s*-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)/g)) keys.add(key);
  return keys;
}

/** JSON text in which whole numbers under `floats` keys keep a fraction. */
export function configText(config: unknown, floats: ReadonlySet<string>): string {
  const text = JSON.stringify(config, null, 2);
  return `${text.replace(/^(\s*"([^"\\]+)": )(-?\d+)(,?)$/gm, (line, before: string, key: string, digits: string, comma: string) =>
    (floats.has(key) ? `${before}${digits}.0${comma}` : line))}\n`;
}
