// One forward pass as the device sees it: everything that differs between two steps of the same
// shape lies in these int32 buffers, so a recorded plan only needs them rewritten.

import type { KvCache, KvView, Step } from '../nn/index.js';
import { empty, kvAppend } from '../tensor/index.js';
import type { Device, Tensor } from '../tensor/index.js';
import type { KvPages } from './pages.js';

/** Extents of a step: tokens, sequences, wanted rows (0: all), entries of a page table. */
export interface StepShape { readonly tokens: number; readonly sequences: number; readonly rows: number; readonly pages: number }

/** The contents of a step block; shorter than the shape where it is padded. */
export interface StepContents {
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
  /** Which sequence of the step each token belongs to. */
  readonly slots: readonly number[];
  readonly rows: readonly number[];
  /** Per page group, per sequence: physical page by logical page. */
  readonly pages: readonly (readonly (readonly number[])[])[];
}

export class StepBlock implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows: Tensor | null;
  /** Which sequence each token belongs to; -1: none, and nothing is computed for it. */
  readonly slots: Tensor;
  private readonly pageTables: readonly Tensor[];

  constructor(device: Device, private readonly kv: KvPages, readonly shape: StepShape) {
    const ints = (...extents: number[]) => empty(device, { shape: extents, dtype: 'i32' }).retain();
    this.tokens = ints(shape.tokens);
    this.positions = ints(shape.tokens);
    this.slots = ints(shape.tokens);
    this.outputRows = shape.rows > 0 ? ints(shape.rows) : null;
    this.pageTables = kv.groups.map(() => ints(shape.sequences, shape.pages));
  }

  /** Fills the buffers; what is missing becomes padding that computes nothing. */
  write(contents: StepContents): void {
    write(this.tokens, contents.tokens, 0);
    write(this.positions, contents.positions, 0);
    this.writeSlots(contents.slots);
    if (this.outputRows) write(this.outputRows, contents.rows, -1);
    this.writePages(contents.pages);
  }

  writeSlots(slots: StepContents['slots']): void {
    write(this.slots, slots, -1);
  }

  writePages(pages: StepContents['pages']): void {
    this.pageTables.forEach((table, group) => {
      const entries = new Array<number>(this.shape.sequences * this.shape.pages).fill(-1);
      pages[group].forEach((list, s) => list.forEach((page, i) => { entries[s * this.shape.pages + i] = page; }));
      write(table, entries, -1);
    });
  }

  append(cache: KvCache, rows: { k: Tensor; v?: Tensor }): KvView {
    const group = this.kv.indexOf(cache);
    const { k, v } = this.kv.groups[group].store(cache);
    const [positions, slots, pageTable] = [this.positions, this.slots, this.pageTables[group]];
    kvAppend(k, rows.k, positions, slots, pageTable);
    if (v && rows.v) kvAppend(v, rows.v, positions, slots, pageTable);
    return { kind: 'pages', k, v: v ?? k, positions, slots, pageTable, cache, rounded: this.kv.rounded };
  }

  dispose(): void {
    for (const tensor of [this.tokens, this.positions, this.slots, this.outputRows, ...this.pageTables]) tensor?.release();
  }
}

function write(tensor: Tensor, values: readonly number[], padding: number): void {
  const data = new Int32Array(tensor.shape.reduce((a, b) => a * b, 1)).fill(padding);
  data.set(values);
  tensor.device.backend.write(tensor.storage.id, 0, new Uint8Array(data.buffer));
}
