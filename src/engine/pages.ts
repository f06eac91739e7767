// Paged KV storage: pages of 64 tokens, shared by all layers with the same mask.
//
// Layers that see alike forget alike, so each mask has one free list and, per sequence, one table
// from logical page (position / 64) to physical page. The store grows by doubling; a plan that was
// recorded over the old buffers must be dropped then (`generation` tells).

import { parameters, walk } from '../nn/index.js';
import type { Decoder, KvCache } from '../nn/index.js';
import { copyInto, elementBytes, empty, firstVisible, isBlockType, PAGE_TOKENS, scope } from '../tensor/index.js';
import type { Device, DType, Mask, Tensor } from '../tensor/index.js';
import { kvFormats } from './kv-format.js';
import type { KvFormat } from './kv-format.js';

/** The pages of one sequence in one group: physical page by logical page, -1 where there is none. */
export type PageList = number[];

interface Store { k: Tensor; v: Tensor | null }

const FIRST_PAGES = 4;

export class PageGroup {
  /** Changes whenever the buffers do. */
  generation = 0;
  private capacity = 0;
  private free: number[] = [];
  private readonly stores = new Map<KvCache, Store>();

  constructor(readonly device: Device, readonly mask: Mask, private readonly caches: readonly KvCache[], private readonly format: KvFormat, private readonly context: number) {}

  store(cache: KvCache): Store {
    const store = this.stores.get(cache);
    if (!store) throw new Error(`no pages were allocated for ${cache.path}`);
    return store;
  }

  /** Bytes of all pages, used or not. */
  get bytes(): number {
    return this.caches.reduce((sum, cache) => sum + elementBytes({ shape: [this.capacity, PAGE_TOKENS, cache.width], dtype: this.format }), 0);
  }

  /** Pages in use. */
  get used(): number {
    return this.capacity - this.free.length;
  }

  /** Gives `list` a page for every token of [from, to). Whether it lacked one. */
  extend(list: PageList, from: number, to: number): boolean {
    let grown = false;
    for (let page = Math.floor(from / PAGE_TOKENS); page * PAGE_TOKENS < to; page++) {
      while (list.length <= page) list.push(-1);
      if (list[page] >= 0) continue;
      list[page] = this.take();
      grown = true;
    }
    return grown;
  }

  /** Frees pages that no token at `position` or later can see. */
  forget(list: PageList, position: number): void {
    const firstPage = Math.floor(firstVisible(this.mask, position) / PAGE_TOKENS);
    for (let page = 0; page < Math.min(firstPage, list.length); page++) this.giveBack(list, page);
  }

  /** Whether every token that one at `position` sees is still kept. */
  keeps(list: PageList, position: number): boolean {
    for (let page = Math.floor(firstVisible(this.mask, position) / PAGE_TOKENS); page * PAGE_TOKENS < position; page++) {
      if (!(list[page] >= 0)) return false;
    }
    return true;
  }

  /** Frees every page behind `length` tokens. */
  truncate(list: PageList, length: number): void {
    const pages = Math.ceil(length / PAGE_TOKENS);
    for (let page = pages; page < list.length; page++) this.giveBack(list, page);
    list.length = Math.min(list.length, pages);
  }

  /** Gives up all pages, used or not; the next token gets new ones. */
  dispose(): void {
    for (const { k, v } of this.stores.values()) { k.release(); v?.release(); }
    this.stores.clear();
    this.capacity = 0;
    this.free = [];
    this.generation++;
  }

  private giveBack(list: PageList, page: number): void {
    if (list[page] >= 0) this.free.push(list[page]);
    list[page] = -1;
  }

  private take(): number {
    if (this.free.length === 0) this.grow(this.larger());
    return this.free.pop()!;
  }

  /** Twice as many, but no more than one sequence can fill before there are that many. */
  private larger(): number {
    const doubled = Math.max(FIRST_PAGES, this.capacity * 2);
    const most = Math.ceil(this.context / PAGE_TOKENS);
    return this.capacity < most ? Math.min(doubled, most) : doubled;
  }

  private grow(capacity: number): void {
    const make = ([heads, width]: readonly [number, number]) => empty(this.device, { shape: [capacity, heads, PAGE_TOKENS, width], dtype: this.format });
    scope(() => {
      for (const cache of this.caches) {
        const store: Store = { k: make(cache.rows.k).retain(), v: cache.rows.v ? make(cache.rows.v).retain() : null };
        const old = this.stores.get(cache);
        if (old) {
          copyInto(store.k, old.k);
          if (store.v && old.v) copyInto(store.v, old.v);
          old.k.release();
          old.v?.release();
        }
        this.stores.set(cache, store);
      }
    });
    for (let page = capacity - 1; page >= this.capacity; page--) this.free.push(page);
    this.capacity = capacity;
    this.generation++;
  }
}

/** The page groups of a model, one per mask. */
export class KvPages {
  readonly groups: readonly PageGroup[];
  private readonly groupOf = new Map<KvCache, number>();
  private blocks: boolean | undefined;

  /** `context`: tokens of the longest sequence. */
  constructor(device: Device, private readonly decoder: Decoder, format: KvFormat = 'f32', context = Infinity) {
    const caches = [...walk(decoder)].map(([, part]) => part).filter((part): part is KvCache => part.kind === 'cache');
    for (const cache of caches) checkSupport(device, cache, format);
    const byMask = new Map<string, KvCache[]>();
    for (const cache of caches) {
      const key = `${cache.mask.window ?? ''}/${cache.mask.chunk ?? ''}`;
      byMask.set(key, [...(byMask.get(key) ?? []), cache]);
    }
    this.groups = [...byMask.values()].map((members, i) => {
      for (const cache of members) this.groupOf.set(cache, i);
      return new PageGroup(device, members[0].mask, members, format, context);
    });
  }

  indexOf(cache: KvCache): number {
    const index = this.groupOf.get(cache);
    if (index === undefined) throw new Error(`cache ${cache.path} is not part of this model`);
    return index;
  }

  /** Whether products of the model's weights round activations: some are kept in blocks. */
  get rounded(): boolean {
    return (this.blocks ??= parameters(this.decoder).some(({ tensor }) => isBlockType(tensor.spec.dtype)));
  }

  /** Changes whenever any buffer does. */
  get generation(): number {
    return this.groups.reduce((sum, group) => sum + group.generation, 0);
  }

  get bytes(): number {
    return this.groups.reduce((sum, group) => sum + group.bytes, 0);
  }

  dispose(): void {
    for (const group of this.groups) group.dispose();
  }
}

/** Rejects a format that the backend cannot write or read, before anything is loaded into it. */
function checkSupport({ backend }: Device, { path, rows, mask, valueDim }: KvCache, format: KvFormat): void {
  if (!kvFormats.includes(format)) throw new RangeError(`kv must be one of ${kvFormats.join(', ')}, got '${String(format)}'`);
  const spec = (dtype: DType, ...shape: number[]) => ({ shape, dtype });
  const store = ([heads, width]: readonly [number, number]) => spec(format, 1, heads, PAGE_TOKENS, width);
  const step = [spec('i32', 1), spec('i32', 1), spec('i32', 1, 1)];
  const kept = rows.v ? [rows.k, rows.v] : [rows.k];
  const reads = [spec('f32', 1, ...rows.k), store(rows.k), store(rows.v ?? rows.k), ...step];
  const fits = kept.every((row) => backend.supports('kv_append', [store(row), spec('f32', 1, ...row), ...step], {}))
    && backend.supports('paged_attention', reads, { scale: 1, valueDim, ...mask });
  if (!fits) throw new Error(`the ${backend.name} backend cannot keep ${path} in ${format}: load the model with kv 'f32'`);
}
