// One line on a terminal's stderr that says how far a download or load is: only when it takes long
// enough to wonder, and gone when it is over.

import type { Io } from './io.js';

/** Shorter waits show nothing. */
const QUIET_MS = 500;
const REDRAW_MS = 100;

export interface Meter {
  show(text: string): void;
  /** Removes the line. */
  end(): void;
}

export function meter({ stderr }: Io, now: () => number = () => performance.now()): Meter {
  if (!stderr.isTTY) return { show: () => {}, end: () => {} };
  const started = now();
  let drawn: number | undefined;
  return {
    show(text) {
      const time = now();
      if (time - started < QUIET_MS || (drawn !== undefined && time - drawn < REDRAW_MS)) return;
      drawn = time;
      // One column stays free: some terminals wrap when the last is filled.
      stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
    },
    end() {
      if (drawn !== undefined) stderr.write('\r\x1b[K');
      drawn = undefined;
    },
  };
}
