// What diagrams show is what the definitions do: order within blocks, marks where the layers have
// them, strips of layers; and text that is safe in any page.

import { describe as group, expect, it } from 'vitest';
import { diagram, drawDiagram } from '../../src/analysis/index.js';
import { sublayersOf } from '../../src/analysis/diagram/block.js';
import { layersText } from '../../src/analysis/diagram/words.js';
import type { Call } from '../../src/tensor/index.js';
import { asText, byRole, described, draw, drawDescriptions, drawn, order, wordsOf } from './diagram-support.js';

group('a diagram', () => {
  it.each(drawn)('of %s reads as before', async (name) => {
    await expect(asText(await draw(name))).toMatchFileSnapshot(`snapshots/diagram-${name}.txt`);
  });

  // From the papers and the reference implementations, not from what was drawn.
  const LAYER_NORM = ['LayerNorm', 'attention', 'add', 'LayerNorm', 'feedForward', 'add'];
  const PRE = ['RMSNorm', 'attention', 'add', 'RMSNorm', 'feedForward', 'add'];
  const POST = ['attention', 'RMSNorm', 'add', 'feedForward', 'RMSNorm', 'add'];
  const SANDWICH = ['RMSNorm', 'attention', 'RMSNorm', 'add', 'RMSNorm', 'feedForward', 'RMSNorm', 'add'];
  const orders: Readonly<Record<string, string[]>> = {
    'gpt2-xl': LAYER_NORM, 'deepseek-v3': PRE, 'olmo-2-1124-7b': POST, 'gemma-3-27b': SANDWICH, 'mistral-small-3.1': PRE, 'llama-4-maverick': PRE,
    'qwen3-235b-a22b': PRE, 'smollm3-3b': PRE, 'kimi-k2': PRE, 'olmo-3.1-32b': POST,
  };
  it.each(Object.entries(orders))('of %s has its norms and sums where the block computes them', async (name, expected) => {
    const blocks = byRole(await draw(name), 'block');
    expect(blocks.map(order)).toEqual([expected]);
    expect(blocks[0].items.filter((item) => item.kind === 'line' && item.role === 'skip')).toHaveLength(2);
    // The same from the description alone, which does not name the norms.
    const alone = byRole(await drawDescriptions(await described(name)), 'block');
    expect(alone.map(order)).toEqual([expected.map((step) => step.replace(/^(RMS|Layer)Norm$/, 'Norm'))]);
  });

  it.each(drawn)('of %s marks exactly what its layers have', async (name) => {
    const root = await draw(name);
    const model = await described(name);
    const marks = byRole(root, 'mark').map(wordsOf);
    const some = (has: (layer: (typeof model.layers)[number]) => unknown) => model.layers.some((layer) => Boolean(has(layer)));
    const marked = (pattern: RegExp) => marks.some((mark) => pattern.test(mark));
    expect(marked(/^latent \d/)).toBe(some(({ latent }) => latent));
    expect(marked(/^QK-norm$/)).toBe(some(({ qkNorm }) => qkNorm && qkNorm !== 'latent'));
    expect(marked(/^latent norm$/)).toBe(some(({ qkNorm }) => qkNorm === 'latent'));
    expect(marked(/^RoPE$/)).toBe(some(({ rope }) => rope));
    expect(marked(/^NoPE$/)).toBe(some(({ rope }) => !rope && !model.learnedPositions));
    expect(marked(/^window /)).toBe(some(({ window }) => window));
    expect(marked(/^chunk /)).toBe(some(({ chunk }) => chunk));
    expect(byRole(root, 'router').length > 0).toBe(some(({ mlp }) => mlp?.kind === 'moe'));
    expect(byRole(root, 'sharedExpert').length > 0).toBe(some(({ mlp }) => mlp?.kind === 'moe' && mlp.shared > 0));
    expect(byRole(root, 'positions').length > 0).toBe(model.learnedPositions !== null);
    expect(/tied/.test(wordsOf(byRole(root, 'head')[0]))).toBe(model.tiedHead);
    expect(new Set(marks).size).toBe(marks.length);
  });

  it('shows what only the calls say', async () => {
    const rows = async (name: string) => asText(await draw(name)).replaceAll(' / ', ' ');
    expect(await rows('llama-4-scout')).toMatch(/QK-norm per head, no weight, after RoPE/);
    expect(await rows('gemma-3-27b')).toMatch(/QK-norm per head, before RoPE/);
    expect(await rows('gemma-3-27b')).toMatch(/scaled by 73\.5/);
    expect(await rows('olmo-2-1124-7b')).toMatch(/QK-norm over the whole projection/);
    expect(await rows('deepseek-v3')).toMatch(/queries through rank 1,536/);
    expect(await rows('deepseek-v2-lite')).not.toMatch(/queries through rank/);
    expect(await rows('deepseek-v3')).toMatch(/8 of them active for each token, from the best 4 of 8 groups/);
    expect(await rows('kimi-k2')).not.toMatch(/groups/);
    expect(await rows('deepseek-v3')).toMatch(/router: sigmoid/);
    expect(await rows('qwen3-235b-a22b')).toMatch(/router: softmax/);
    expect(await rows('llama-4-maverick')).toMatch(/temperature/);
    expect(await rows('smollm3-3b')).not.toMatch(/temperature/);
    expect(await rows('gpt2-xl')).toMatch(/projections with biases/);
    expect(await rows('qwen3-0.6b')).not.toMatch(/biases/);
  });

  it('orders marks as the queries pass them', async () => {
    const marks = async (name: string) => byRole(await draw(name), 'mark').map(wordsOf).slice(0, 2);
    expect(await marks('gemma-3-27b')).toEqual(['QK-norm', 'RoPE']);
    expect(await marks('llama-4-scout')).toEqual(['RoPE', 'QK-norm']);
  });

  it('has a cell for each layer where layers differ, and no strip where they do not', async () => {
    const strip = async (name: string) => asText(await draw(name)).match(/strip .*/g) ?? [];
    expect(await strip('gemma-3-27b')).toEqual([`strip attn: ${'aaaaab'.repeat(10)}aa`]);
    expect(await strip('smollm3-3b')).toEqual([`strip attn: ${'aaab'.repeat(9)}`]);
    expect(await strip('deepseek-v3')).toEqual([`strip ffn: aaa${'b'.repeat(58)}`]);
    expect(await strip('llama-4-maverick')).toEqual([`strip attn: ${'aaab'.repeat(12)}`, `strip ffn: ${'ab'.repeat(24)}`]);
    expect(await strip('qwen3-235b-a22b')).toEqual([]);
    expect(wordsOf(byRole(await draw('qwen3-235b-a22b'), 'repeats')[0])).toBe('× 94');
  });
});

group('differences', () => {
  const banded = async (...names: string[]) => byRole(await draw(...names), 'difference').length + byRole(await draw(...names), 'fact:parameters').filter(({ paint }) => paint).length;

  it('are marked between models, and nowhere in one or in equal ones', async () => {
    expect(await banded('gpt2-xl')).toBe(0);
    expect(await banded('qwen3-0.6b', 'qwen3-0.6b')).toBe(0);
    expect(await banded('gpt2-xl', 'deepseek-v3')).toBeGreaterThan(10);
  });

  it('leave alone what both models have', async () => {
    const root = await draw('llama-4-maverick', 'llama-4-scout');
    const rows = byRole(root, 'row:positions').map((row) => [wordsOf(row), row.paint]);
    expect(rows).toContainEqual(['no positions (NoPE)', undefined]);
    expect(rows).toContainEqual(['RoPE, θ 500,000', 'difference']);
    expect(byRole(root, 'fact:hidden size').map(({ paint }) => paint)).toEqual([undefined, undefined]);
  });
});

group('a block', () => {
  let next = 0;
  const call = (path: string, op: string, ...inputs: number[]): Call => ({
    op, path: `layers.0${path}`, attrs: {}, inputs: inputs.map((buffer) => ({ buffer, spec: { shape: [1], dtype: 'f32' } })), outputs: [{ buffer: ++next, spec: { shape: [1], dtype: 'f32' } }],
  });

  it('with its norms behind the sums keeps them out of the residual', () => {
    next = 0; // the stream enters as 0; then 1, 2, …
    const calls = [call('.attn', 'paged_attention', 0), call('', 'add', 0, 1), call('.n1', 'layer_norm', 2), call('.mlp', 'linear', 3), call('', 'add', 4, 3), call('.n2', 'layer_norm', 5)];
    expect(sublayersOf(calls).map(({ steps, residual }) => [residual, ...steps.map(({ name }) => name)])).toEqual([
      [true, 'attention'], [false, 'LayerNorm'], [true, 'feed-forward'], [false, 'LayerNorm'],
    ]);
  });

  it('that adds two results of its own is refused by name', () => {
    next = 0;
    const calls = [call('.attn', 'paged_attention', 0), call('.mlp', 'linear', 0), call('', 'add', 1, 2), call('', 'add', 0, 3)];
    expect(() => sublayersOf(calls)).toThrow('a block adds two results of its own: only residual sums can be drawn');
  });
});

group('the SVG', () => {
  /** Tags with quoted attributes, properly nested; no other angle brackets or ampersands. */
  function checkWellFormed(svg: string): void {
    const open: string[] = [];
    const rest = svg.replace(/<(\/?)([a-z]+)((?: [a-zA-Z:-]+="[^"<]*")*)(\/?)>/g, (_, close: string, tag: string, _attributes, self: string) => {
      if (close) expect(open.pop()).toBe(tag);
      else if (!self) open.push(tag);
      return '';
    });
    expect(open).toEqual([]);
    expect(rest.replace(/&(amp|lt|gt|quot|apos);/g, '')).not.toMatch(/[<>&]/);
    // eslint-disable-next-line no-control-regex
    expect(svg).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/);
  }

  it.each(['light', 'dark', 'print'] as const)('in %s is well formed and says its own size', async (theme) => {
    const { svg, width, height } = await drawDiagram(['gemma-3-27b', 'deepseek-v3'], { theme });
    checkWellFormed(svg);
    expect(svg).toContain(`viewBox="0 0 ${width} ${height}"`);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    expect(svg).toContain('<title>Architectures of gemma-3-27b-it and DeepSeek-V3</title>');
  });

  it('in print has greys only', async () => {
    const svg = await diagram('llama-4-maverick', { theme: 'print' });
    const colours = [...svg.matchAll(/#([0-9a-f]{6})/g)].map(([, hex]) => hex);
    expect(colours.length).toBeGreaterThan(50);
    expect(colours.filter((hex) => hex.slice(0, 2) !== hex.slice(2, 4) || hex.slice(2, 4) !== hex.slice(4))).toEqual([]);
  });

  it('escapes hostile names', async () => {
    const svg = await diagram(await described('qwen3-0.6b', { name: '</text><script>alert("1")</script> & \u0000\u0007 \ud800 \'x\'' }));
    checkWellFormed(svg);
    expect(svg).not.toContain('<script');
    expect(svg).toContain('&lt;script&gt;');
    expect(svg).toContain('\ufffd');
  });

  it('is the same for a model however it is given', async () => {
    const svg = await diagram('qwen3-0.6b');
    expect(await diagram(['qwen3-0.6b'])).toBe(svg);
    expect(await diagram('Qwen/Qwen3-0.6B', { theme: 'light' })).toBe(svg);
  });

  it('refuses what cannot be drawn in one sentence', async () => {
    await expect(diagram([])).rejects.toThrow('there is nothing to draw: no models were given');
    await expect(diagram('gpt2', { theme: 'toString' as 'light' })).rejects.toThrow('theme must be light, dark, print, got toString');
    await expect(diagram('gpt2', { columns: 0 })).rejects.toThrow('columns must be a whole number of at least 1, got 0');
    await expect(diagram({ model_type: 'nothing' })).rejects.toThrow(/unknown model_type 'nothing'/);
  });
});

group('layers in words', () => {
  const of = (total: number, has: (i: number) => boolean) => layersText(Array.from({ length: total }, (_, i) => i).filter(has), total);
  it.each([
    [of(36, () => true), 'all 36 layers'], [of(61, (i) => i < 3), 'layers 0–2 (3 of 61)'], [of(61, (i) => i === 0), 'layer 0 (1 of 61)'], [of(61, (i) => i > 2), 'layers 3–60 (58 of 61)'],
    [of(62, (i) => i % 6 === 5), 'every 6th layer (10 of 62)'], [of(62, (i) => i % 6 !== 5), '5 of every 6 layers (52 of 62)'], [of(48, (i) => i % 2 === 1), 'layers 1, 3, 5, … (24 of 48)'],
    [of(48, (i) => i % 2 === 0), 'layers 0, 2, 4, … (24 of 48)'], [of(33, (i) => i % 3 === 2), 'every 3rd layer (11 of 33)'], [of(9, (i) => i === 1 || i === 4), '2 of 9 layers'],
  ])('%s', (text, expected) => expect(text).toBe(expected));
});
