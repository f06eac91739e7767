// Every figure that is derived from a definition equals what was published or counted by hand.

import { readFileSync } from 'node:fs';
import { describe as group, expect, it } from 'vitest';
import { describe } from '../../src/analysis/index.js';
import { families } from '../../src/models/index.js';
import { findPublished, publishedNames } from '../../src/models/published.js';

interface Figures {
  computed?: { params_text: number; by_group: Record<string, number>; params_active_incl_embeddings?: number };
  kv_per_token?: { bytes_bf16: number; full_layers?: number; sliding_layers?: number; sliding_window?: number; bytes_bf16_growing_past_window?: number; bytes_bf16_sliding_constant?: number };
  max_position_embeddings: number;
  vocab_size: number;
}
const figures = JSON.parse(readFileSync(new URL('../data/published.json', import.meta.url), 'utf8')) as Record<string, Figures>;
const known = new Set(families.flatMap(({ modelTypes }) => modelTypes));
const implemented = publishedNames.map((name) => findPublished(name)!).filter(({ config }) => known.has(config.model_type as string));

/** Names of published.json's groups for the parts that the analysis tells apart. */
const groups = { embedding: 'emb', positions: 'pos', attention: 'attn', mlp: 'mlp', router: 'router', experts: 'expert', sharedExperts: 'shared', norm: 'norm', head: 'head' } as const;
/** Parts of published.json that the text model does not have. */
const outside = new Set(['vision', 'mtp']);

it('covers every implemented release, three dozen of them', () => {
  expect(implemented.length).toBeGreaterThanOrEqual(36);
  for (const { hubId } of implemented) expect(figures[hubId], hubId).toBeDefined();
});

group('equals the published figures', () => {
  it.each(implemented)('$name', async ({ hubId, config }) => {
    const model = await describe(config);
    const { computed, kv_per_token: kv, vocab_size, max_position_embeddings } = figures[hubId];
    expect(model.vocabularySize).toBe(vocab_size);
    expect(model.contextLength).toBe(max_position_embeddings);
    expect(model.parameters.total).toBe(computed!.params_text);
    expect(model.parameters.active).toBe(computed!.params_active_incl_embeddings ?? computed!.params_text);
    const parts = Object.entries(groups).map(([part, name]) => [name, model.parameters.byPart[part as keyof typeof groups]] as const);
    expect(Object.fromEntries(parts.filter(([, count]) => count !== undefined)))
      .toEqual(Object.fromEntries(Object.entries(computed!.by_group).filter(([name]) => !outside.has(name))));
    expect(model.kvBytesPerToken).toBe(kv!.bytes_bf16);
    if (kv!.sliding_layers !== undefined) {
      const windows = model.layers.filter(({ window }) => window !== null);
      expect(windows.length).toBe(kv!.sliding_layers);
      expect(model.layers.length - windows.length).toBe(kv!.full_layers);
      expect(new Set(windows.map(({ window }) => window))).toEqual(new Set([kv!.sliding_window]));
      const beyond = model.kvBytes(100_001) - model.kvBytes(100_000);
      expect(beyond).toBe(kv!.bytes_bf16_growing_past_window);
      const windowed = (kv!.bytes_bf16 - beyond) * kv!.sliding_window!;
      expect(windowed).toBe(kv!.bytes_bf16_sliding_constant ?? windowed);
      expect(model.kvBytes(100_000)).toBe(100_000 * beyond + windowed);
    }
    // Inside and outside of the blocks nothing is counted twice or lost.
    const inBlocks = model.layers.reduce((sum, { parameters }) => sum + parameters, 0);
    expect(Object.values(model.parameters.byPart).reduce((sum, count) => sum + count, 0)).toBe(model.parameters.total);
    expect(inBlocks).toBeLessThan(model.parameters.total);
  });
});
