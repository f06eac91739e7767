// The child process that runs node-llama-cpp, which lies in a folder of its own: the same prompt, the
// same count of tokens, greedy, no text, and the same steps left out (one token after the prompt).

import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const { folder, file, threads, prompt, generate, vocabulary } = JSON.parse(process.argv[2]);
const { getLlama } = await import(pathToFileURL(join(resolve(folder), 'node_modules/node-llama-cpp/dist/index.js')).href);

// Only what is installed: it would download or compile a build otherwise.
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: 'error' });
const started = performance.now();
const model = await llama.loadModel({ modelPath: resolve(file), gpuLayers: 0 });
const context = await model.createContext({ contextSize: prompt + generate + 8, batchSize: Math.max(512, prompt), threads, sequences: 1, flashAttention: true });
const sequence = context.getSequence();
const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + 11) % vocabulary);

process.on('message', async () => {
  await sequence.clearHistory();
  const times = [performance.now()];
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now());
    if (times.length === generate + 3) break;
  }
  // 0: start, 1: the prompt's token, 2: one that does not count, then those that do.
  const perSecond = (count, from, to) => (count / (times[to] - times[from])) * 1000;
  process.send({ prefill: perSecond(prompt, 0, 1), decode: perSecond(generate, 2, generate + 2) });
});
process.on('disconnect', () => process.exit());
process.send({ loadMs: performance.now() - started, threads: context.currentThreads, llamaCpp: llama.llamaCppRelease?.release });
