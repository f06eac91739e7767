// A process that makes one experiment after another for queue.mjs, several at once where that helps: it
// keeps the device, and the kernels compiled for it, from one to the next.

import { createBackend } from '../dist/engine/index.js';
import { openCorpus } from './corpus.mjs';
import { runExperiment } from './experiment.mjs';

const { folder, backend, threads } = JSON.parse(process.argv[2]);
const corpus = await openCorpus(folder);
// A GPU's device lives as long as somebody uses it.
const held = backend === 'webgpu' ? await createBackend(backend) : undefined;

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
