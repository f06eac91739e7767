// Whether two backends choose the same tokens, greedily, for prompts of stories (matrices in f16).
//
//   node bench/greedy.mjs <model> [--tokens 200] [--kv f32] [--backends wasm,webgpu]

import { parseArgs } from 'node:util';
import { loadModel } from '../dist/index.js';

const { values: options, positionals: [source] } = parseArgs({
  allowPositionals: true,
  options: { tokens: { type: 'string', default: '200' }, kv: { type: 'string', default: 'f32' }, backends: { type: 'string', default: 'wasm,webgpu' } },
});
const prompts = [
  'Once upon a time', 'Lily and Tom went to the park', 'The little dog', 'One day, a boy named Max found', 'There was a big red ball', 'Mom said', 'In the dark forest', 'A cat and a bird were friends',
  'Once upon a time there was a girl who lived in a small house near the sea with her mother, her father and a brown dog. Every morning she went to the beach to look for shells, and every evening she told her mother what she had found. One day she found something that she had never seen before, and she ran home as fast as she could to show it to everyone.',
];

async function told(backend) {
  const model = await loadModel(source, { backend, weights: 'f16', kv: options.kv });
  const stories = [];
  for (const prompt of prompts) {
    const tokens = [];
    for await (const { token } of model.generate(prompt, { maxTokens: Number(options.tokens), temperature: 0 })) tokens.push(token);
    stories.push(tokens);
  }
  model.dispose();
  return stories;
}

const [ours, theirs] = [await told(options.backends.split(',')[0]), await told(options.backends.split(',')[1])];
prompts.forEach((prompt, i) => {
  const at = ours[i].findIndex((token, k) => token !== theirs[i][k]);
  const equal = at < 0 && ours[i].length === theirs[i].length;
  console.log(`${prompt.slice(0, 30).padEnd(30)}  ${equal ? `${ours[i].length} tokens equal` : `differ at ${at < 0 ? ours[i].length : at}`}`);
  if (!equal) process.exitCode = 1;
});
