// Runs in a worker of the browser: ops and reference models with 64-bit addresses, above 4 GiB, against
// 32-bit ones. Answers with what differs.

import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { createBackend } from '../../src/backends/wasm/index.js';
import { differences, highBackend } from '../wasm/high.js';
import { sameBits, stepLogits } from '../wasm/steps.js';

const OPTIONS = { threads: 2 };

async function differs(url: string): Promise<boolean> {
  const checkpoint = await openCheckpoint(await resolveSource(url));
  const [low, high] = [await stepLogits(checkpoint, await createBackend({ ...OPTIONS, memory64: false })), await stepLogits(checkpoint, await highBackend(OPTIONS))];
  await checkpoint.close();
  return !high.every((logits, i) => sameBits(logits, low[i]));
}

self.onmessage = async ({ data: models }: MessageEvent<readonly string[]>) => {
  try {
    const found = await differences(OPTIONS);
    for (const url of models) if (await differs(url)) found.push(url);
    self.postMessage({ found });
  } catch (error) {
    self.postMessage({ failed: String(error) });
  }
};
