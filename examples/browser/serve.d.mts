/** One answer of the server. */
export interface Answered { readonly path: string; readonly range?: string; readonly status: number; readonly bytes: number }
export interface Server { readonly url: string; close(): Promise<void> }
export interface ServeOptions {
  /** Address prefixes and the folders behind them. */
  readonly roots: Readonly<Record<string, string>>;
  /** 0, the default: any that is free. */
  readonly port?: number;
  /** Whether to send the headers that let a page use threads. */
  readonly isolated?: boolean;
  /** Whether to answer requests for a part of a file with that part. */
  readonly ranges?: boolean;
  readonly onRequest?: (answer: Answered) => void;
}
export const ISOLATION: Readonly<Record<string, string>>;
export const exampleRoots: Readonly<Record<string, string>>;
export function serve(options: ServeOptions): Promise<Server>;
