/** Regular expressions made of literal texts. */

/** A pattern that matches exactly this text, under any flags. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
