// A checkpoint's first steps on a backend of one's own: the prompt, then replays of a recorded step.
// Runs in browsers too.

import type { Checkpoint } from '../../src/checkpoint/index.js';
import { Engine } from '../../src/engine/index.js';
import type { EngineOptions } from '../../src/engine/index.js';
import { largest } from '../../src/generate/index.js';
import type { Backend } from '../../src/tensor/index.js';

export const REPLAYS = 3;

/** The logits of each step, the likeliest token being the next. The backend is disposed. */
export async function stepLogits(checkpoint: Checkpoint, backend: Backend, options: EngineOptions = {}): Promise<Float32Array[]> {
  const engine = await Engine.open(checkpoint, backend, options);
  try {
    const sequence = engine.runner.sequence();
    const seen: Float32Array[] = [];
    let tokens = [3, 14, 15, 92, 65];
    for (let i = 0; i <= REPLAYS; i++) {
      const [logits] = await engine.runner.step([{ sequence, tokens }]);
      seen.push(logits);
      tokens = [largest(logits)];
    }
    if (engine.runner.counts.replays !== REPLAYS) throw new Error(`${engine.runner.counts.replays} steps were replayed, expected ${REPLAYS}`);
    return seen;
  } finally {
    engine.dispose();
  }
}

export const sameBits = (a: ArrayBufferView, b: ArrayBufferView): boolean => {
  const [x, y] = [a, b].map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
};
