// Threads in a browser: dedicated workers, started from a Blob so that no bundler has to know of
// a second entry. Shared memory needs a cross-origin isolated page.

import type { Thread, Threads } from './threads.js';

const PRELUDE = `
const reply = (message) => self.postMessage(message);
const onMessage = (receive) => { self.onmessage = (event) => receive(event.data); };
`;

export const browserThreads: Threads = {
  get available() { return globalThis.navigator?.hardwareConcurrency ?? 1; },
  get sharedMemory() { return globalThis.crossOriginIsolated === true && typeof Worker === 'function'; },
  start(source, onMessage, onFailure): Thread {
    const url = URL.createObjectURL(new Blob([PRELUDE + source], { type: 'text/javascript' }));
    const worker = new Worker(url);
    worker.onmessage = (event: MessageEvent) => onMessage(event.data);
    worker.onerror = (event) => onFailure(new Error(event.message || 'a worker could not start'));
    return { post: (message) => worker.postMessage(message), busy: () => {}, end: () => { worker.terminate(); URL.revokeObjectURL(url); } };
  },
  async readModule(url) {
    const response = await fetch(url);
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  },
};
