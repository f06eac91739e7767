// What commands talk to: the three standard streams, the environment and the interrupt key. One
// object, so that tests run commands within their own process.

import type { Readable, Writable } from 'node:stream';

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Data only: what a pipe is meant to get. */
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Progress, warnings, errors. */
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Calls `act` at Ctrl-C instead of ending the process; the result undoes that. */
  onInterrupt(act: () => void): () => void;
}

export function processIo(): Io {
  const { stdin, stdout, stderr, env: environment } = process;
  // The reader of a pipe may have seen enough (`| head`): that is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  return {
    stdin, stdout, stderr, environment,
    onInterrupt(act) {
      process.on('SIGINT', act);
      return () => void process.off('SIGINT', act);
    },
  };
}

/** Ends the command with this exit code, saying nothing more. */
export class Exit extends Error {
  override readonly name = 'Exit';
  constructor(readonly code: number) {
    super(`exit ${code}`);
  }
}

/** What a process ended by Ctrl-C gives: 128 and the signal's number. */
export const INTERRUPTED = 130;

/** Wrong usage that only a command itself can see. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function warn(io: Io, message: string): void {
  io.stderr.write(`lamella: warning: ${oneLine(message)}\n`);
}

export function oneLine(message: string): string {
  return message.replace(/\s+/g, ' ').trim();
}

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
