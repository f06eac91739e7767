// A sequence: the tokens of one conversation and the pages that hold what layers keep of them.

import type { KvPages, PageList } from './pages.js';

export class Sequence {
  /** Every token, in the cache or not. */
  readonly tokens: number[] = [];
  /** How many of them the cache holds; the rest is computed with the next step. */
  cached = 0;
  readonly lists: PageList[];
  private live = true;

  constructor(private readonly kv: KvPages, private readonly onDispose: (sequence: Sequence) => void) {
    this.lists = kv.groups.map(() => []);
  }

  get length(): number {
    return this.tokens.length;
  }

  /**
   * Cuts the sequence back to its first `length` tokens. Where a windowed layer has already
   * forgotten what the next token must see, the kept tokens are computed again with the next step.
   */
  truncate(length: number): void {
    this.check();
    if (!Number.isInteger(length) || length < 0 || length > this.length) throw new RangeError(`cannot cut a sequence of ${this.length} tokens back to ${length}`);
    this.tokens.length = length;
    if (this.cached > length) this.cached = length;
    if (!this.kv.groups.every((group, i) => group.keeps(this.lists[i], this.cached))) this.cached = 0;
    this.kv.groups.forEach((group, i) => group.truncate(this.lists[i], this.cached));
  }

  /** The pages are gone: the kept tokens are computed again with the next step. */
  forget(): void {
    this.cached = 0;
    for (const list of this.lists) list.length = 0;
  }

  /** Gives its pages back. */
  dispose(): void {
    if (!this.live) return;
    this.live = false;
    this.kv.groups.forEach((group, i) => group.truncate(this.lists[i], 0));
    this.onDispose(this);
  }

  check(): void {
    if (!this.live) throw new Error('this sequence was disposed');
  }
}
