// Picks the platform at run time, by dynamic import, so that a browser never loads Node's modules.

import type { Platform } from './platform.js';

export type * from './platform.js';
export type * from './threads.js';
export type * from './file-cache.js';
export { blobDirectory, blobSource, bytesSource, checkRange, topFiles } from './memory.js';
export { memory64, webAssemblyFeatures } from './webassembly.js';
export type { WebAssemblyFeature } from './webassembly.js';

let chosen: Promise<Platform> | undefined;

/** The machine this runs on. The same object on every call. */
export function platform(): Promise<Platform> {
  chosen ??= runsInNode()
    ? import('./node.js').then((module) => module.node)
    : import('./browser.js').then((module) => module.browser);
  return chosen;
}

function runsInNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return typeof process?.versions?.node === 'string';
}
