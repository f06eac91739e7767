// What commands that work on a model share: which model a name means, ending at Ctrl-C, progress in
// words.

import { bytes } from './format.js';
import { Exit, INTERRUPTED } from './io.js';
import type { Io } from './io.js';

/** What --memory does, wherever a model is loaded. */
export const MEMORY_HELP = 'most memory to take, such as 8GB: experts, then layers that do not fit are streamed from the disk';

/** Whether it could be a built-in name: no path, no hub id, no address. */
export const isBareName = (name: string): boolean => /^[\w.-]+$/.test(name);

/** Runs something that Ctrl-C ends with exit code 130. */
export async function interruptible<T>(io: Io, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const restore = io.onInterrupt(() => interrupted.abort());
  try {
    return await body(interrupted.signal);
  } catch (error) {
    throw interrupted.signal.aborted ? new Exit(INTERRUPTED) : error;
  } finally {
    restore();
  }
}

/** A name that is built in stands for its hub id, unless a file or directory has it. */
export async function sourceOf(name: string): Promise<string> {
  if (!isBareName(name)) return name;
  const { stat } = await import('node:fs/promises');
  if (await stat(name).catch(() => undefined)) return name;
  const { findPublished } = await import('../models/published.js');
  return findPublished(name)?.hubId ?? name;
}

/** `40 % of 1.2 GB` */
export const share = (done: number, total: number): string => `${total > 0 ? Math.floor((100 * done) / total) : 100} % of ${bytes(total)}`;
