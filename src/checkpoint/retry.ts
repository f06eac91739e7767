// Trying again what may pass: cut connections, busy servers. Waits grow, and a server that names a
// wait (Retry-After) gets it.

import { CheckpointError } from './error.js';

export interface RetryOptions {
  readonly signal?: AbortSignal;
  /** How often to try in all; 5 unless told. */
  readonly attempts?: number;
  /** Milliseconds before the second try, doubled for each further one; 500 unless told. */
  readonly retryDelay?: number;
}

// A server may ask for hours; a person waiting for a model is better served by the error.
const LONGEST_WAIT_MS = 60_000;

/** Runs the action until it succeeds, fails for good, or has failed `attempts` times. */
export async function retrying<T>(options: RetryOptions, action: () => Promise<T>): Promise<T> {
  const attempts = options.attempts ?? 5;
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof CheckpointError) || !error.transient || attempt >= attempts) throw error;
      await retryPause(options, attempt, error.retryAfter);
    }
  }
}

/** Waits before the try after `failures` failed ones; rejects at once when aborted. */
export async function retryPause({ signal, retryDelay = 500 }: RetryOptions, failures: number, retryAfter = 0): Promise<void> {
  const wait = Math.min(LONGEST_WAIT_MS, Math.max(retryAfter * 1000, retryDelay * 2 ** (failures - 1)));
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, wait);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
