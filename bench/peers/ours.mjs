// The child process that runs lamella: loads a file, says so, then measures whenever it is told to.

import { fromDist } from './dist.mjs';

const { file, threads, prompt, generate, revectorize } = JSON.parse(process.argv[2]);
const { openCheckpoint, resolveSource } = await fromDist('checkpoint/index.js');
const { createBackend, Engine } = await fromDist('engine/index.js');
const { benchmark } = await fromDist('generate/index.js');

const started = performance.now();
const checkpoint = await openCheckpoint(await resolveSource(file));
const engine = await Engine.open(checkpoint, await createBackend('wasm', { threads, revectorize }), { contextLength: prompt + generate + 1 });
await checkpoint.close();

process.on('message', async () => {
  const { prefill, decode } = await benchmark(engine.runner, { prompt, generate });
  process.send({ prefill, decode });
});
process.on('disconnect', () => process.exit());
process.send({ loadMs: performance.now() - started, threads: engine.device.backend.threads });
