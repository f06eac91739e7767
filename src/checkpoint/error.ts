// The error of everything that a checkpoint can have wrong, and the quoting its messages need.

export interface CheckpointErrorOptions extends ErrorOptions {
  /** The HTTP status, where a server's answer is the reason. */
  status?: number;
  /** The same request may well succeed a moment later. */
  transient?: boolean;
  /** Seconds that the server asks to wait. */
  retryAfter?: number;
}

/** What is wrong with a checkpoint or with fetching it: one line that names the file. */
export class CheckpointError extends Error {
  override name = 'CheckpointError';
  readonly status?: number;
  readonly transient: boolean;
  readonly retryAfter?: number;

  constructor(message: string, options: CheckpointErrorOptions = {}) {
    super(message, options);
    this.status = options.status;
    this.transient = options.transient ?? false;
    this.retryAfter = options.retryAfter;
  }
}

// Names come from the file and may be of any length and hold line breaks: messages stay one line.
const LONGEST_QUOTE = 80;

/** A text from a file, escaped and shortened for an error message. */
export function quoted(value: unknown): string {
  // JSON leaves U+2028 and U+2029 as they are, and they break lines too.
  const text = (JSON.stringify(value) ?? 'undefined').replace(/[\u2028\u2029]/g, ' ');
  return text.length <= LONGEST_QUOTE ? text : `${text.slice(0, LONGEST_QUOTE)}…`;
}

/** The message of anything thrown, on one line. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s+/g, ' ').slice(0, 300);
}
