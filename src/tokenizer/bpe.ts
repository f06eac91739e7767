/**
 * Byte-pair encoding by rank, as tiktoken defines it: of all neighbouring parts whose concatenation is
 * a token, the pair of lowest rank merges first, the leftmost on a tie. Parts form a linked list and
 * candidate pairs a heap, so a word of n bytes costs O(n log n) however repetitive it is.
 *
 * Words and tokens are strings of the byte alphabet (byte_level.ts). This does not split text into words.
 */

/** A heap entry packs (rank, position) into one exact double: rank * 2^32 + position. */
const POSITIONS = 2 ** 32;
/** Words up to this many bytes are remembered; longer ones hardly ever repeat. */
const CACHED_WORD_LENGTH = 64;
const CACHED_WORDS = 20_000;

export class BytePairEncoder {
  private readonly longestToken: number;
  private readonly cache = new Map<string, readonly number[]>();

  /** @param ranks token (in the byte alphabet) to rank, which is also its id. */
  constructor(private readonly ranks: ReadonlyMap<string, number>) {
    let longest = 0;
    for (const token of ranks.keys()) longest = Math.max(longest, token.length);
    this.longestToken = longest;
  }

  /** Ids of one word. */
  encode(word: string): readonly number[] {
    const whole = this.ranks.get(word);
    if (whole !== undefined) return [whole];
    if (word.length > CACHED_WORD_LENGTH) return this.merge(word);
    let ids = this.cache.get(word);
    if (!ids) {
      ids = this.merge(word);
      if (this.cache.size >= CACHED_WORDS) this.cache.clear();
      this.cache.set(word, ids);
    }
    return ids;
  }

  private merge(word: string): number[] {
    const n = word.length;
    // A part is named by where it starts; next[start] is where it ends and its right neighbour starts.
    const next = new Int32Array(n + 1);
    const previous = new Int32Array(n + 1);
    for (let i = 0; i <= n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    // The rank at which the part starting here merges with its right neighbour; -1 when it does not.
    const pairRank = new Int32Array(n).fill(-1);
    const heap = new MinHeap();

    const consider = (start: number) => {
      const middle = next[start];
      const end = middle < n ? next[middle] : n + 1;
      const rank = end <= n && end - start <= this.longestToken ? this.ranks.get(word.slice(start, end)) : undefined;
      pairRank[start] = rank ?? -1;
      if (rank !== undefined) heap.push(rank * POSITIONS + start);
    };

    for (let start = 0; start + 1 < n; start++) consider(start);
    for (let entry = heap.pop(); entry !== undefined; entry = heap.pop()) {
      const start = entry % POSITIONS;
      if (pairRank[start] !== Math.floor(entry / POSITIONS)) continue; // the pair has changed since
      const middle = next[start];
      next[start] = next[middle];
      previous[next[start]] = start;
      pairRank[middle] = -1;
      consider(start);
      if (start > 0) consider(previous[start]);
    }

    const ids: number[] = [];
    for (let start = 0; start < n; start = next[start]) ids.push(this.ranks.get(word.slice(start, next[start]))!);
    return ids;
  }
}

/** A binary heap of numbers, smallest first. */
class MinHeap {
  private readonly items: number[] = [];

  push(item: number): void {
    const { items } = this;
    let at = items.length;
    for (; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (items[parent] <= item) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1] < items[child]) child++;
      if (items[child] >= last) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return top;
  }
}
