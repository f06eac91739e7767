// What the two sides of the backend agree on: the scheduler (TypeScript) writes a step as a list of
// fixed-size records, the kernels (AssemblyScript) read them. Written in what both languages
// share, because both compile this file.

export enum Kernel {
  copy, pack, unpack,
  add, mul, scale, silu, gelu_tanh, sigmoid, silu_mul,
  rms_norm, add_rms_norm, layer_norm, softmax, normalize_sum,
  quantize, linear, expert_linear, head_linear, take_rows,
  slice, concat, gather, outer, combine, top_k,
  rope_table, rope, temperature, kv_append, paged_attention,
  matmul, activation_grad, norm_grad, softmax_grad, normalize_sum_grad, sum_to, add_rows, scatter, pad, combine_grad,
  expert_grad_input, expert_grad_weight, head_grad, cross_entropy, cross_entropy_grad, reduce, adamw,
  row_attention, row_attention_max, column_max, row_attention_grad_queries, row_attention_grad_keys,
  sample_parts, sample,
}

/** How the numbers of a weight lie in memory. Packed: four rows interleaved, see quantized.ts and blocks.ts. */
export enum Format { f32, f16, bf16, f8, q8, q4, q4k, q6k, q8_packed, q4_packed, q4k_packed, q6k_packed }
/** From a block format to its packed form. */
export const PACKED = 4;

/** How threads share a record: by rows, by column units, or every thread does all of it. */
export enum Split { rows, units, whole }

/** What a kernel found wrong; the words behind it say which number and which limit. */
export enum Failure { none, index, expert, slot, page }

/**
 * What an address takes wherever memory holds one, in builds with 32-bit and with 64-bit addresses: kernels
 * load a `usize`, which is the lower half or all of it.
 */
export const ADDRESS_BYTES = 8;

// A record: 40 words of 4 bytes.
export const RECORD_BYTES = 160;
export const WORD_KERNEL = 0;
/** Not 0: meet the other threads first. */
export const WORD_BARRIER = 1;
/** A Failure, and its two numbers. */
export const WORD_FAILURE = 2;
export const WORD_SPLIT = 5;
/** Extents of both ways to split. */
export const WORD_ROWS = 6;
export const WORD_UNITS = 7;
/** Up to 8 addresses, of two words. An odd one is an offset (plus 1) into memory that each thread has for itself. */
export const WORD_POINTERS = 8;
/** Up to 16 numbers of the kernel's own; floats by their bits, sizes in bytes as addresses are. */
export const WORD_NUMBERS = 24;

// The control block of a memory, in words: what its threads share beside data.
export const CONTROL_BYTES = 512;
export const CONTROL_ARRIVED = 0;
/** Counts barriers; threads wait for it to change. */
export const CONTROL_GENERATION = 16;
export const CONTROL_SLEEPERS = 17;
/** Not 0: a thread trapped, barriers give up. */
export const CONTROL_ABORT = 32;
/** Not 0: some record of this run failed. */
export const CONTROL_FAILED = 33;
/** Barriers that the run passed. */
export const CONTROL_BARRIERS = 34;
/** Not 0: the engine joins pairs of instructions, for which some kernels have forms of their own. */
export const CONTROL_REVECTORIZED = 35;
/** From here, one word a thread: the record it is at. */
export const CONTROL_PROGRESS = 48;
export const MOST_THREADS = 64;

/** Rows of activations that share a pass over a matrix at most, those that always do, and the bytes up to which more do. */
export const PANEL_ROWS = 512;
export const LEAST_PANEL = 64;
export const PANEL_BYTES = 688128;
/** Bytes at the head of a thread's scratch: addresses of a panel's input and output rows. */
export const PANEL_TABLES = 8192;
/** Bytes of four rounded activations of a column, at most: int16, and a share of scales and sums of 32 columns. */
export const QUANTIZED_BYTES = 9;
/** Bytes of four rows of 32 numbers that block formats are decoded to: 128 int16, 4 scales and 4 minima (float32). */
export const DECODED_BYTES = 288;
/** Bytes of two such groups that are decoded to bytes: 256, 8 scales, and 8 minima or beginnings of sums. */
export const PAIR_BYTES = 320;
/** Positions that attention takes at a time: a page. */
export const PAGE_TOKENS = 64;
/** Query heads that share one pass over keys and values. */
export const HEADS_AT_ONCE = 8;
/** Rows (tokens x query heads) that attention over consecutive tokens takes at a time, and heads among them. */
export const TILE_ROWS = 256;
export const TILE_HEADS = 8;
/** Pages of a sequence, from its beginning, that are kept as int16 from one tile to the next. */
export const KEPT_PAGES = 16;
