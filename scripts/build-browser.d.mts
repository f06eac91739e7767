/** Empties `folder` and writes a module for each entry, what they share, and the kernels. */
export function buildBrowser(folder?: string, entries?: Readonly<Record<string, string>>): Promise<void>;
