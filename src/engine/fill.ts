// Brings the bytes of weights into a backend's memory: all of them at once, or those of streamed
// parameters whenever one is asked for. What lies in the file as it is wanted is read straight into
// its place, several pieces at a time; the rest is read in rows and rearranged on this thread.

import { hasNonFinite } from '../checkpoint/index.js';
import { inParallel } from '../checkpoint/parallel.js';
import { readInto } from '../checkpoint/stored.js';
import type { StoredTensor } from '../checkpoint/index.js';
import { elementBytes, elementCount } from '../tensor/index.js';
import type { Spec, StreamedBuffer, Tensor } from '../tensor/index.js';
import { liesAsWanted, matrices, pieceShape, place } from './placing.js';
import type { BoundPiece, Matrix } from './placing.js';
import type { BindOptions, Target } from './weights.js';

// Node reads files on four threads unless it is told otherwise.
const READS_AT_ONCE = 4;
/** Bytes of a read: enough to make the calls few, little enough to be in a cache when they are looked at. */
const READ_BYTES = 4 * 2 ** 20;
/** Bytes that may be on their way to a backend that copies what it is given. */
export const MOST_UNDER_WAY = 2 ** 28;

/** Where a stored tensor goes. */
interface Place { readonly target: Target; readonly bound: BoundPiece }
interface Job { readonly stored: StoredTensor; run(onBytes: (count: number) => Promise<void>): Promise<void> }

/** Reads the weights of `targets` into their homes, in file order, every byte once. Where it rejects, nothing is under way any more. */
export async function fill(targets: readonly Target[], homes: ReadonlyMap<Target, Tensor>, options: BindOptions): Promise<void> {
  const uses = new Map<StoredTensor, Place[]>();
  for (const target of targets) for (const bound of target.pieces) uses.set(bound.stored, [...(uses.get(bound.stored) ?? []), { target, bound }]);
  const total = [...uses.keys()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const check = new FiniteCheck(options.onWarning);
  const jobs = [...uses].flatMap(([stored, places]) => direct(stored, places, homes, check) ?? [rearranged(stored, places, homes, options, check)]);
  const device = homes.values().next().value?.device;
  let [loaded, underWay] = [0, 0];
  await inParallel(jobs, READS_AT_ONCE, async ({ stored, run }) => {
    options.signal?.throwIfAborted();
    await run(async (count) => {
      options.signal?.throwIfAborted();
      loaded += count;
      options.onProgress?.({ loaded, total, tensor: stored.name });
      underWay += count;
      if (underWay < MOST_UNDER_WAY) return;
      underWay = 0;
      await device?.backend.drain?.();
    });
  });
}

/** A tensor as reads into where it belongs; undefined where it must be rearranged, or goes to several places. */
function direct(stored: StoredTensor, [{ target, bound }, ...others]: readonly Place[], homes: ReadonlyMap<Target, Tensor>, check: FiniteCheck): Job[] | undefined {
  const { device: { backend }, storage } = homes.get(target)!;
  if (others.length > 0 || !backend.fill || !stored.readInto || !liesAsWanted(bound, target.spec)) return undefined;
  const home = elementBytes({ shape: [bound.start], dtype: target.spec.dtype });
  const rowBytes = stored.byteLength / elementCount(stored.shape) * (stored.shape.at(-1) ?? 1);
  const step = Math.max(1, Math.floor(READ_BYTES / rowBytes)) * rowBytes;
  return Array.from({ length: Math.ceil(stored.byteLength / step) }, (_, i) => ({
    stored,
    async run(onBytes) {
      const [at, length] = [i * step, Math.min(step, stored.byteLength - i * step)];
      await backend.fill!(storage.id, home + at, length, async (memory) => {
        await readInto(stored, at, memory);
        check.look(stored, stored.dtype, memory);
      });
      await onBytes(length);
    },
  }));
}

function rearranged(stored: StoredTensor, places: readonly Place[], homes: ReadonlyMap<Target, Tensor>, { scaleBlock }: BindOptions, check: FiniteCheck): Job {
  return {
    stored,
    async run(onBytes) {
      for await (const matrix of matrices(stored, places[0].bound, scaleBlock)) {
        check.lookAt(stored, matrix);
        for (const { target, bound } of places) {
          const { device: { backend }, storage } = homes.get(target)!;
          place(matrix, bound, target.spec, bound.start, (offset, bytes) => backend.write(storage.id, offset, bytes));
        }
        await onBytes(matrix.storedBytes);
      }
    },
  };
}

/** Warns of stored tensors that hold NaN or infinite numbers, once of each. */
class FiniteCheck {
  private readonly warned = new Set<StoredTensor>();
  constructor(private readonly onWarning: BindOptions['onWarning']) {}

  lookAt(stored: StoredTensor, { dtype, bytes, scales }: Matrix): void {
    if (scales?.values.some((scale) => !Number.isFinite(scale))) this.warn(stored);
    else this.look(stored, dtype, bytes);
  }

  look(stored: StoredTensor, dtype: string, bytes: Uint8Array): void {
    if (!this.warned.has(stored) && hasNonFinite(dtype, bytes)) this.warn(stored);
  }

  private warn(stored: StoredTensor): void {
    if (this.warned.has(stored)) return;
    this.warned.add(stored);
    this.onWarning?.(`tensor '${stored.name}' in ${stored.file} holds NaN or infinite numbers`);
  }
}

/** One stored matrix, and where in its part it begins. */
interface PartPiece { readonly bound: BoundPiece; readonly matrix: number; readonly start: number }

/** What each part of a parameter (a matrix, or each of a stack) is made of; undefined where stored matrices straddle parts. */
export function partsOf({ spec: { shape }, pieces }: Target): readonly (readonly PartPiece[])[] | undefined {
  if (shape.length < 2 || shape.length > 3) return undefined;
  const size = elementCount(shape.slice(-2));
  const parts: PartPiece[][] = Array.from({ length: elementCount(shape) / size }, () => []);
  for (const bound of pieces) {
    const piece = pieceShape(bound.piece);
    const each = elementCount(piece.slice(-2));
    for (let matrix = 0; matrix < elementCount(piece) / each; matrix++) {
      const first = bound.start + matrix * each;
      const part = Math.floor(first / size);
      if (first + each > (part + 1) * size) return undefined;
      parts[part].push({ bound, matrix, start: first - part * size });
    }
  }
  return parts;
}

/**
 * Parameters as something to be fetched. What a damaged file holds is found out then: a part's numbers
 * are looked at the first time that it comes.
 */
export function streamedBuffers(targets: readonly Target[], options: BindOptions): StreamedBuffer[] {
  const check = new FiniteCheck(options.onWarning);
  options.signal?.throwIfAborted();
  return targets.map((target) => streamedBuffer(target, options, check));
}

function streamedBuffer(target: Target, { scaleBlock }: BindOptions, check: FiniteCheck): StreamedBuffer {
  const { parameter: { path }, spec } = target;
  const parts = partsOf(target)!;
  const part: Spec = { ...spec, shape: spec.shape.slice(-2) };
  const seen = new Set<number>();
  return {
    name: path, spec, group: layerOf(path),
    async read(index, bytes) {
      const first = !seen.has(index);
      await Promise.all(parts[index].map((piece) => readPiece(piece, part, bytes, first ? check : undefined, scaleBlock)));
      seen.add(index);
    },
  };
}

async function readPiece({ bound, matrix, start }: PartPiece, part: Spec, memory: Uint8Array, check: FiniteCheck | undefined, scaleBlock: BindOptions['scaleBlock']): Promise<void> {
  const { stored } = bound;
  const [rows, columns] = [stored.shape.at(-2) ?? 1, stored.shape.at(-1) ?? 1];
  if (liesAsWanted(bound, part)) {
    const length = stored.byteLength / elementCount(stored.shape) * rows * columns;
    const place = elementBytes({ shape: [start], dtype: part.dtype });
    const target = memory.subarray(place, place + length);
    await readInto(stored, matrix * length, target);
    check?.look(stored, stored.dtype, target);
    return;
  }
  for await (const some of matrices(stored, bound, scaleBlock, matrix)) {
    check?.lookAt(stored, some);
    place({ ...some, firstRow: some.firstRow - matrix * rows }, bound, part, start, (offset, piece) => memory.set(piece, offset));
  }
}

/** The layer that a parameter belongs to: `layers.3`; empty for those of the frame. */
export function layerOf(path: string): string {
  return /^layers\.\d+/.exec(path)?.[0] ?? '';
}
