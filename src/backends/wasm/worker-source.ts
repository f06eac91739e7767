// What a worker thread runs, as text: the same script starts in Node and in browsers, from sources
// and from a bundle, with no second entry for anyone's build to know of. `onMessage` and `reply`
// come from the platform (platform/threads.ts).
//
// Messages: attach (a memory to work in), run (records), detach. A trap sets the abort word, so
// that threads at a barrier give up, and is reported.

import { CONTROL_ABORT, CONTROL_GENERATION } from './abi.js';

export const WORKER_SOURCE = `
const attached = new Map();
onMessage((message) => {
  const { kind, memoryId } = message;
  if (kind === 'detach') { attached.delete(memoryId); return; }
  if (kind === 'attach') {
    const { exports } = new WebAssembly.Instance(message.module, { env: { memory: message.memory } });
    attached.set(memoryId, { run: exports.run, memory: message.memory });
    return;
  }
  const { run, memory } = attached.get(memoryId);
  const { job, control, args } = message;
  try {
    run(...args);
    reply({ job });
  } catch (error) {
    const words = new Int32Array(memory.buffer);
    Atomics.store(words, control / 4 + ${CONTROL_ABORT}, 1);
    Atomics.notify(words, control / 4 + ${CONTROL_GENERATION});
    reply({ job, trap: String(error && error.message || error) });
  }
});
`;
