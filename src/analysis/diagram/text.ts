// Text as the drawing needs it: how wide it will be at most, broken into lines, safe within XML.
//
// Which font a reader has is not known, so a width is the widest of the usual sans-serif fonts
// (DejaVu Sans, close to Verdana, for nearly every character; Arial is about a tenth narrower).

export const FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

/** Widths in hundredths of the size, from the space to the tilde. */
const WIDTHS = [
  32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84, 56,
  102, 68, 69, 72, 77, 67, 61, 78, 75, 29, 50, 67, 56, 86, 75, 79, 67, 79, 72, 67, 61, 73, 68, 99, 69, 67, 69, 39, 34, 39, 84, 56,
  50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
];
const OTHER = 100;
/** Emoji and rare scripts. */
const ASTRAL = 140;
/** Bold letters are this much wider, taken over whole words. */
const BOLD = 1.16;

/** Most that `text` can take at this size, in pixels. */
export function textWidth(text: string, size: number, bold = false): number {
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    width += code > 0xffff ? ASTRAL : (WIDTHS[code - 32] ?? OTHER);
  }
  return (width * size * (bold ? BOLD : 1)) / 100;
}

/** Breaks at spaces, and behind hyphens and slashes; within a word only where it is too long for a line. */
export function wrapText(text: string, width: number, size: number, bold = false): string[] {
  const fits = (line: string) => textWidth(line.trim(), size, bold) <= width;
  const pieces = text.split(/(?<=[\s/_-])/).flatMap((piece) => (fits(piece) ? [piece] : chopped(piece, fits)));
  const lines: string[] = [];
  for (const piece of pieces) {
    const last = lines.at(-1);
    if (last !== undefined && fits(last + piece)) lines[lines.length - 1] = last + piece;
    else lines.push(piece);
  }
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}

function chopped(word: string, fits: (text: string) => boolean): string[] {
  const pieces: string[] = [];
  for (const character of word) {
    const last = pieces.at(-1);
    if (last !== undefined && fits(last + character)) pieces[pieces.length - 1] = last + character;
    else pieces.push(character);
  }
  return pieces;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** For text and attributes; characters that XML forbids become U+FFFD. */
export function escapeXml(text: string): string {
  return text.toWellFormed().replace(/[&<>"']/g, (character) => ENTITIES[character])
    // eslint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
}
