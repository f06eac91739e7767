// A process that makes one experiment after another for queue.mjs, several at once where that helps: it
// keeps the device, and the kernels compiled for it, from one to the next.

import { createBackend } from '../dist/engine/index.js';
import { openCorpus } from './corpus.mjs';
import { runExperiment } from './experiment.mjs';

const { folder, backend, threads } = JSON.parse(process.argv[2]);
const [corpus, held] = await begin();

/** What all experiments share. A GPU's device lives as long as somebody uses it. */
async function begin() {
  try {
    return [await openCorpus(folder), backend === 'webgpu' ? await createBackend(backend) : undefined];
  } catch (error) {
    await new Promise((resolve) => { process.send({ failed: error.message }, resolve); });
    process.exit(1);
  }
}

process.on('message', async ({ id, spec }) => {
  try {
    process.send({ id, result: await runExperiment(spec, corpus, { backend, threads }) });
  } catch (error) {
    process.send({ id, error: error instanceof Error ? error.message : String(error) });
  }
});
process.on('disconnect', () => {
  held?.dispose();
  process.exit();
});
process.send({ ready: true });
