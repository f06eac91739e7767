// Which of some names a mistyped one was near to: those that share its longest piece.

/** Up to five names that contain a piece of `wanted`, pieces being runs of letters or digits; longest piece first. */
export function near(wanted: string, names: readonly string[]): string[] {
  const pieces = (wanted.toLowerCase().match(/[a-z]+\d*|\d+/g) ?? []).filter((piece) => piece.length > 1).sort((a, b) => b.length - a.length);
  for (const piece of pieces) {
    const found = names.filter((name) => name.toLowerCase().includes(piece));
    if (found.length > 0) return found.slice(0, 5);
  }
  return [];
}
