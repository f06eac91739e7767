// Nothing in a drawing lies over anything else, leaves its box or the canvas, or is crossed by a
// line: measured on what is placed, for every published release and for what no release has.

import { describe as group, expect, it } from 'vitest';
import type { Description, LayerDescription } from '../../src/analysis/index.js';
import { textWidth, wrapText } from '../../src/analysis/diagram/text.js';
import { familyOf, HfConfig } from '../../src/models/index.js';
import { findPublished, publishedNames } from '../../src/models/published.js';
import { asText, byRole, described, draw, drawDescriptions, faults, nine, order, overlap, within } from './diagram-support.js';

const known = publishedNames.filter((name) => {
  try {
    return familyOf(new HfConfig(findPublished(name)!.config));
  } catch {
    return false;
  }
});

group('a drawing is clean', () => {
  it('for most releases there are', () => {
    expect(known.length).toBeGreaterThan(35);
  });

  it.each(known)('of %s', async (name) => {
    expect(faults(await draw(name))).toEqual([]);
  });

  it.each([2, 3, 4, 5, 6, 7, 8, 9])('of %i models', async (count) => {
    const root = await draw(...nine.slice(0, count));
    expect(byRole(root, 'model')).toHaveLength(count);
    expect(faults(root)).toEqual([]);
    // Up to four stand in one row.
    expect(new Set(byRole(root, 'model').map(({ y }) => y)).size).toBe(count <= 4 ? 1 : Math.ceil(count / 3));
  });

  it.each(['a', 'A'.repeat(400), 'many words '.repeat(40), '模型'.repeat(80), '🦙'.repeat(60), 'owner/some-very-long-name_with-parts-'.repeat(9)])('of a model called %s', async (name) => {
    const root = await drawDescriptions(await described('deepseek-v3', { name }), await described('gpt2', { name: 'other' }));
    expect(faults(root)).toEqual([]);
  });
});

group('what no release has', () => {
  const changed = async (name: string, change: (layer: LayerDescription) => Partial<LayerDescription>): Promise<Description> => {
    const model = await described(name);
    return { ...model, layers: model.layers.map((layer) => ({ ...layer, ...change(layer) })) };
  };

  it('blocks of two structures are two boxes, in a strip of their own', async () => {
    const root = await drawDescriptions(await changed('qwen3-0.6b', ({ index }) => ({ norms: index < 10 ? 'pre' : 'post' })));
    expect(byRole(root, 'block').sort((a, b) => b.y - a.y).map(order)).toEqual([
      ['Norm', 'attention', 'add', 'Norm', 'feedForward', 'add'], ['attention', 'Norm', 'add', 'feedForward', 'Norm', 'add'],
    ]);
    expect(asText(root)).toContain(`strip block: ${'a'.repeat(10)}${'b'.repeat(18)}`);
    expect(faults(root)).toEqual([]);
  });

  it('many sorts of layer are counted, not all drawn', async () => {
    const model = await changed('llama-3.2-1b', ({ index, mlp }) => ({ mlp: { ...mlp!, hidden: 1000 + index } as LayerDescription['mlp'], window: index < 12 ? 64 * (index + 1) : null, reach: index < 12 ? 'sliding' : 'full' }));
    const root = await drawDescriptions(model);
    expect(byRole(root, 'feedForwardPanel')).toHaveLength(3);
    expect(asText(root)).toMatch(/13 more sorts in layers 3–15/);
    expect(asText(root)).toMatch(/10 more sorts in layers 3–15/);
    expect(faults(root)).toEqual([]);
  });

  it('attention of one key/value head, few experts, and no feed-forward', async () => {
    const model = await changed('qwen3-30b-a3b', ({ index, mlp }) => ({
      attention: 'MQA', kvHeads: 1, mlp: index % 2 ? null : { ...(mlp as Extract<LayerDescription['mlp'], { kind: 'moe' }>), experts: 2, perToken: 1, shared: 12, sharedHidden: 1e7 },
    }));
    const root = await drawDescriptions(model);
    const text = asText(root);
    expect(text).toMatch(/Multi-query attention/);
    expect(text).toMatch(/No feed-forward/);
    expect(byRole(root, 'expert')).toHaveLength(2);
    expect(faults(root)).toEqual([]);
  });
});

group('the measure itself', () => {
  it('sees what is wrong', async () => {
    const root = await draw('gpt2');
    const model = byRole(root, 'model')[0];
    const moved = { ...root, items: [...root.items, { ...model, x: model.x + 40, y: model.y + 15 }] };
    const wrong = faults(moved).join('\n');
    expect(wrong).toMatch(/lies over/);
    expect(wrong).toMatch(/crosses/);
    expect(faults({ ...root, width: root.width - 60 }).join('\n')).toMatch(/leaves page/);
    expect(overlap({ x: 0, y: 0, width: 10, height: 10 }, { x: 10, y: 0, width: 10, height: 10 })).toBe(false);
    expect(within({ x: 0, y: 0, width: 12, height: 10 }, { x: 0, y: 0, width: 10, height: 10 })).toBe(false);
  });

  it('of text is never less than the usual fonts take', () => {
    // DejaVu Sans has M at 0.863 of the size, i at 0.278, digits at 0.636; Arial 0.833, 0.222, 0.556.
    expect(textWidth('MMMMMMMMMM', 10)).toBeGreaterThanOrEqual(86);
    expect(textWidth('iiiiiiiiii', 10)).toBeGreaterThanOrEqual(27.8);
    expect(textWidth('00', 100)).toBeGreaterThanOrEqual(127);
    expect(textWidth('Multi-head', 10, true)).toBeGreaterThan(textWidth('Multi-head', 10));
  });

  it('breaks text into lines that fit and lose nothing', () => {
    for (const text of ['RoPE on 64 of 192, θ 10,000, stretched 40×', 'x'.repeat(200), 'a/b-c d_e '.repeat(20)]) for (const width of [40, 90, 200]) {
      const lines = wrapText(text, width, 11);
      for (const line of lines) expect(textWidth(line, 11)).toBeLessThanOrEqual(width);
      expect(lines.join('').replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
    }
  });
});
