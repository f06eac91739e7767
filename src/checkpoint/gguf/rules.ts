// Which tensors of a GGUF file are which of a hub checkpoint, and how their numbers are rearranged on
// the way, in both directions. A rule names the tensors on both sides: `{N}` stands for every layer,
// `{E}` for every expert. Which rules an architecture has is in `architectures.ts`.

import { CheckpointError } from '../error.js';
import { columnsOf, entry, joinedRows, matrixSlice, permuted, reshaped, rowCount, shifted, stacked, transposed } from './rows.js';
import type { Rows } from './rows.js';

/** Rows in, rows out: one for each name that the other side of the rule has. */
type Rearrange = (parts: readonly Rows[]) => readonly Rows[];

export interface Rule {
  readonly hub: readonly string[];
  readonly gguf: readonly string[];
  readonly toHub: Rearrange;
  /** Undefined where converters no longer write this form. */
  readonly toGguf?: Rearrange;
  /** Kept in float32 whatever format the file is written in, as llama.cpp keeps it. */
  readonly precise?: boolean;
}

const asItIs: Rearrange = (parts) => parts;

/** The same tensor under two names. */
export function same(hub: string, gguf: string, { precise = false } = {}): Rule {
  return { hub: [hub], gguf: [gguf], toHub: asItIs, toGguf: asItIs, precise };
}

const LAYER = 'model.layers.{N}';

/** A part of every layer with its weight and, where there is one, its bias. */
export function part(hub: string, gguf: string, make: (hub: string, gguf: string) => Rule = same): Rule[] {
  return ['weight', 'bias'].map((kind) => make(`${LAYER}.${hub}.${kind}`, `blk.{N}.${gguf}.${kind}`));
}

/**
 * llama.cpp rotates neighbouring pairs where the hub's weights rotate the halves of a head against each
 * other: its converter moves row (half, i) of every head to row (i, half).
 */
export function rotated(heads: number): (hub: string, gguf: string) => Rule {
  const each = (from: (width: number) => (row: number) => number): Rearrange => (parts) => parts.map((rows) => {
    // A bias is one row: its numbers are what moves.
    const tall = rows.shape.length > 1 ? rows : column(rows);
    const width = rowCount(tall) / heads;
    if (width % 2 !== 0) throw new CheckpointError(`${rowCount(tall)} rows are not ${heads} heads of an even width`);
    const moved = permuted(tall, width, from(width));
    return rows.shape.length > 1 ? moved : { ...row(moved), shape: rows.shape };
  });
  return (hub, gguf) => ({
    hub: [hub], gguf: [gguf],
    toHub: each((width) => (i) => 2 * (i % (width / 2)) + Math.floor(i / (width / 2))),
    toGguf: each((width) => (i) => (i % 2) * (width / 2) + Math.floor(i / 2)),
  });
}

const column = (rows: Rows): Rows => ({
  shape: [columnsOf(rows), 1], dtype: rows.dtype,
  async read(first, count) {
    const bytes = await rows.read(0, 1);
    const size = bytes.length / columnsOf(rows);
    return bytes.slice(first * size, (first + count) * size);
  },
});
const row = (rows: Rows): Rows => ({ shape: [rowCount(rows)], dtype: rows.dtype, read: () => rows.read(0, rowCount(rows)) });

/** Gemma's norms: the hub stores the weight less one. */
export function lessOne(hub: string, gguf: string): Rule {
  return { hub: [hub], gguf: [gguf], toHub: ([rows]) => [shifted(rows, -1)], toGguf: ([rows]) => [shifted(rows, 1)] };
}

/** GPT-2's weights: the hub stores [in, out]. */
export function swapped(hub: string, gguf: string): Rule {
  const swap: Rearrange = ([rows]) => [rows.shape.length > 1 ? transposed(rows) : rows];
  return { hub: [hub], gguf: [gguf], toHub: swap, toGguf: swap };
}

/** Experts: one tensor each on the hub, one for all in GGUF. Also reads gate and up fused in one tensor. */
export function stackedExperts(hub: string, count: number): Rule[] {
  const each = (kind: string): string => `${LAYER}.${hub}.{E}.${kind}_proj.weight`;
  const entries = (rows: Rows): Rows[] => {
    if (rows.shape.length !== 3 || rows.shape[0] !== count) throw new CheckpointError(`[${rows.shape.join(', ')}] is not a stack of ${count} experts`);
    return Array.from({ length: count }, (_, e) => entry(rows, e));
  };
  const single = (kind: string): Rule => ({
    hub: [each(kind)], gguf: [`blk.{N}.ffn_${kind}_exps.weight`], toHub: ([rows]) => entries(rows), toGguf: (parts) => [stacked(parts)],
  });
  const fused: Rule = {
    hub: [each('gate'), each('up')], gguf: ['blk.{N}.ffn_gate_up_exps.weight'],
    toHub: ([rows]) => {
      const width = rows.shape[1] / 2;
      return [...entries(matrixSlice(rows, 0, width)), ...entries(matrixSlice(rows, width, width))];
    },
  };
  return [single('gate'), single('up'), single('down'), fused];
}

/** Llama 4's experts: on the hub one fused tensor [E, in, 2 out] and one [E, hidden, out], used as x W. */
export function fusedExperts(hub: string): Rule[] {
  return [{
    hub: [`${LAYER}.${hub}.gate_up_proj`], gguf: ['blk.{N}.ffn_gate_exps.weight', 'blk.{N}.ffn_up_exps.weight'],
    // Columns side by side are rows below each other, seen from the transpose.
    toHub: ([gate, up]) => [transposed(joinedRows(gate, up))],
    toGguf: ([rows]) => {
      const both = transposed(rows);
      const width = both.shape[1] / 2;
      return [matrixSlice(both, 0, width), matrixSlice(both, width, width)];
    },
  }, {
    hub: [`${LAYER}.${hub}.down_proj`], gguf: ['blk.{N}.ffn_down_exps.weight'],
    toHub: ([rows]) => [transposed(rows)], toGguf: ([rows]) => [transposed(rows)],
  }];
}

/**
 * Latent attention's kv_b_proj [heads * (key + value), rank]: in GGUF the keys' part transposed per
 * head [heads, rank, key] and the values' part [heads, value, rank]; undivided in files of before 2025.
 */
export function latent(heads: number, keyWidth: number, valueWidth: number): Rule[] {
  const hub = `${LAYER}.self_attn.kv_b_proj.weight`;
  const height = keyWidth + valueWidth;
  return [{
    hub: [hub], gguf: ['blk.{N}.attn_k_b.weight', 'blk.{N}.attn_v_b.weight'],
    toHub: ([keys, values]) => {
      const joined = joinedRows(transposed(keys), values);
      return [reshaped(joined, [heads * height, columnsOf(joined)])];
    },
    toGguf: ([rows]) => {
      const perHead = reshaped(rows, [heads, height, columnsOf(rows)]);
      return [transposed(matrixSlice(perHead, 0, keyWidth)), matrixSlice(perHead, keyWidth, valueWidth)];
    },
  }, { hub: [hub], gguf: ['blk.{N}.attn_kv_b.weight'], toHub: asItIs }];
}

/** Names with every expert's number in the place of `{E}`, and the layer's in that of `{N}`. */
export function expand(names: readonly string[], layer: number, experts: number): string[] {
  return names.flatMap((name) => {
    const here = name.replace('{N}', String(layer));
    return here.includes('{E}') ? Array.from({ length: experts }, (_, e) => here.replace('{E}', String(e))) : [here];
  });
}
