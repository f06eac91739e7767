// Small models of every architecture that can be trained, written in 4 bits: no matrix is left over.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { convertToGguf, openCheckpoint, readGguf, resolveSource } from '../../src/checkpoint/index.js';
import { loadModel } from '../../src/index.js';
import { presetArchitectures, presetConfig } from '../../src/models/index.js';
import { initialize } from '../../src/training/index.js';
import { collect } from './helpers.js';

const folder = mkdtempSync(join(tmpdir(), 'lamella-presets-'));
afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

it.each(presetArchitectures)('%s fits blocks, with a finer embedding table where that is asked for', async (arch) => {
  const fresh = await initialize(presetConfig(arch, 'tiny', { vocab: 300, context: 32 }), { backend: 'reference' });
  await fresh.save(join(folder, arch));
  await fresh.dispose();
  const checkpoint = await openCheckpoint(await resolveSource(join(folder, arch)));
  const bytes = await collect(convertToGguf(checkpoint, { format: 'q4_0', embeddings: 'q8_0' }).stream);
  await checkpoint.close();

  const { tensors } = await readGguf(bytes);
  const types = (wanted: (name: string) => boolean) => new Set([...tensors.values()].filter(({ name, shape }) => shape.length > 1 && wanted(name)).map(({ dtype }) => dtype));
  expect(types((name) => name === 'token_embd.weight')).toEqual(new Set(['Q8_0']));
  // Routers and learned positions stay as llama.cpp wants them.
  expect(types((name) => !/^(token_embd|position_embd)|ffn_gate_inp/.test(name))).toEqual(new Set(['Q4_0']));
  const model = await loadModel(new Blob([bytes as Uint8Array<ArrayBuffer>]), { backend: 'reference' });
  expect((await model.logits([1, 2, 3])).shape).toEqual([3, 300]);
  await model.dispose();
});
