/**
 * Stop strings in a stream of text: what may be shown, and whether to stop. Text that could still become
 * a stop string is held back; a stop string itself is never shown. How the text is cut into pieces makes
 * no difference: the first stop string to be complete wins.
 */
export class StopMatcher {
  private held = '';
  private done = false;

  /** @param stops the stop strings; an empty list lets everything through. */
  constructor(private readonly stops: readonly string[]) {
    if (stops.includes('')) throw new Error('A stop string must not be empty.');
  }

  /** Whether a stop string has been met. */
  get stopped(): boolean {
    return this.done;
  }

  /** Takes more text; gives what is now safe to show. After a stop everything is swallowed. */
  push(text: string): string {
    if (this.done) return '';
    const seen = this.held + text;
    const cut = this.firstStop(seen);
    if (cut !== undefined) {
      this.done = true;
      this.held = '';
      return seen.slice(0, cut);
    }
    const keep = this.possiblePrefix(seen);
    this.held = seen.slice(seen.length - keep);
    return seen.slice(0, seen.length - keep);
  }

  /** The text ends here without a stop string: gives what was held back. */
  end(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  /** Where the stop string begins that is complete first (the longest of those). */
  private firstStop(text: string): number | undefined {
    let cut: number | undefined;
    let firstEnd = Infinity;
    for (const stop of this.stops) {
      const at = text.indexOf(stop);
      if (at < 0) continue;
      const end = at + stop.length;
      if (end < firstEnd || (end === firstEnd && at < cut!)) [firstEnd, cut] = [end, at];
    }
    return cut;
  }

  /** Length of the longest end of the text with which a stop string begins. */
  private possiblePrefix(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
