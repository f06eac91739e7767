// The child process that runs node-llama-cpp for llama-oracle.mjs: its greedy continuation of a prompt,
// and its log probabilities of given and of its own likeliest tokens along our continuation. Keys and
// values are kept in float32, so that nothing differs but the arithmetic.

import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

process.once('message', async ({ folder, file, threads, top, tokens, ids, text, chat, greedy, wanted }) => {
  const { getLlama } = await import(pathToFileURL(join(resolve(folder), 'node_modules/node-llama-cpp/dist/index.js')).href);
  // Only what is installed: it would download or compile a build otherwise.
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath: resolve(file), gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: ids.length + tokens + 8, threads, sequences: 1, flashAttention: false, experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
  });
  const sequence = context.getSequence();

  const own = [];
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    own.push(token);
    if (own.length === tokens) break;
  }

  await sequence.clearHistory();
  const asked = [...ids, ...greedy].map((token, i) => [token, {
    generateNext: { logits: { filter: { tokens: wanted[i], includeMax: true, includeTop: top } }, totalLogitWeight: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } },
  }]);
  const answers = await sequence.controlledEvaluate(asked);
  const rows = answers.map(({ next: { logits, totalLogitWeight } }) => {
    const [[first, largest]] = [...logits].sort((a, b) => b[1] - a[1]);
    return { first, logprobs: new Map([...logits].map(([token, logit]) => [token, logit - largest - Math.log(totalLogitWeight)])) };
  });

  const encoded = text === undefined ? undefined : model.tokenize(text, chat === true);
  // A template that does not begin with the start token leaves it to the tokenizer.
  const sameTokens = encoded && [encoded, [model.tokens.bos, ...encoded]].some((list) => list.join() === ids.join());
  process.send({ greedy: own, rows, sameTokens, llamaCpp: llama.llamaCppRelease?.release });
});
process.on('disconnect', () => process.exit());
