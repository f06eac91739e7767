// Threads in Node: worker_threads that keep the process alive only while they are busy.

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { Thread, Threads } from './threads.js';

const PRELUDE = `
const { parentPort } = require('node:worker_threads');
const reply = (message) => parentPort.postMessage(message);
const onMessage = (receive) => parentPort.on('message', receive);
`;

export const nodeThreads: Threads = {
  available: availableParallelism(),
  sharedMemory: true,
  start(source, onMessage, onFailure): Thread {
    const worker = new Worker(PRELUDE + source, { eval: true });
    let ended = false;
    worker.unref();
    worker.on('message', onMessage);
    worker.on('error', onFailure);
    worker.on('exit', () => { if (!ended) onFailure(new Error('a worker thread ended by itself')); });
    return {
      post: (message) => worker.postMessage(message),
      busy: (on) => { if (on) worker.ref(); else worker.unref(); },
      end: () => { ended = true; void worker.terminate(); },
    };
  },
  revectorize: Number(process.versions.node.split('.')[0]) < 22 ? undefined : (on) => {
    setFlagsFromString(on ? '--experimental-wasm-revectorize' : '--no-experimental-wasm-revectorize');
    setFlagsFromString(on ? '--no-liftoff' : '--liftoff');
  },
  readModule: async (url) => readFile(fileURLToPath(url)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }),
};
