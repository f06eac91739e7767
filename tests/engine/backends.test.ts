// Choosing a backend by name.

import { describe, expect, it } from 'vitest';
import { createBackend } from '../../src/engine/index.js';

describe('createBackend', () => {
  it("says why 'auto' takes the plain loops", async () => {
    const warnings: string[] = [];
    const backend = await createBackend('auto', { threads: 0, onWarning: (message) => warnings.push(message) });
    expect(backend.name).toBe('reference');
    expect(warnings).toEqual([expect.stringMatching(/^plain loops compute, which is slow: threads must be a whole number from 1 to \d+, got 0$/)]);
    backend.dispose();
  });

  it("takes WebAssembly for 'auto' without a word", async () => {
    const warnings: string[] = [];
    const backend = await createBackend('auto', { threads: 1, onWarning: (message) => warnings.push(message) });
    expect([backend.name, warnings]).toEqual(['wasm', []]);
    backend.dispose();
  });
});
