// `lamella diagram`, and the words that `lamella compare` puts below the table of two models.

import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawDiagram } from '../../src/analysis/index.js';
import { convertToGguf, openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { fakeIo, lamella, lamellaWith, tinyModel } from '../cli/helpers.js';
import { temporaryFolder } from '../temporary.js';

describe('lamella diagram', () => {
  it('has help with examples', async () => {
    const { code, out, err } = await lamella('diagram', '--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const part of [/^Usage: lamella diagram /, /^Examples:\n {2}\$ lamella diagram/m, /--theme/, /--output/, /--columns/, /--json/]) expect(out).toMatch(part);
    expect((await lamella('--help')).out).toMatch(/^ {2}diagram /m);
  });

  it('prints the SVG, or as JSON with its size', async () => {
    const { svg, width, height } = await drawDiagram(['qwen3-0.6b', 'gpt2'], { theme: 'dark' });
    expect(await lamella('diagram', 'qwen3-0.6b', 'gpt2', '--theme', 'dark')).toEqual({ code: 0, out: svg, err: '' });
    const { out } = await lamella('diagram', 'qwen3-0.6b', 'gpt2', '--theme', 'dark', '--json');
    expect(JSON.parse(out)).toEqual({ svg, width, height });
  });

  it('writes a file and says so on stderr, data nowhere else', async () => {
    const file = join(temporaryFolder(), 'out.svg');
    const { svg, width, height } = await drawDiagram('gpt2');
    expect(await lamella('diagram', 'gpt2', '-o', file)).toEqual({ code: 0, out: '', err: `wrote ${file} (${width} x ${height})\n` });
    expect(readFileSync(file, 'utf8')).toBe(svg);
    const { out, err } = await lamella('diagram', 'gpt2', '-o', file, '--json');
    expect({ out: JSON.parse(out), err }).toEqual({ out: { file, width, height }, err: '' });
  });

  it('drew the picture in docs, and draws it still', async () => {
    const { out } = await lamella('diagram', 'gpt2-xl', 'deepseek-v3', 'gemma-3-27b');
    const path = 'docs/diagrams/gpt2-xl_deepseek-v3_gemma-3-27b.svg';
    expect(out === readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), `draw ${path} anew: lamella diagram gpt2-xl deepseek-v3 gemma-3-27b -o ${path}`).toBe(true);
  });

  it('draws a checkpoint directory and a GGUF file', async () => {
    const folder = tinyModel();
    const gguf = join(temporaryFolder(), 'tiny.gguf');
    const checkpoint = await openCheckpoint(await resolveSource(folder));
    await writeFile(gguf, convertToGguf(checkpoint, { format: 'q8_0' }).stream);
    await checkpoint.close();
    for (const source of [folder, join(folder, 'config.json'), gguf]) {
      const { code, out, err } = await lamella('diagram', source);
      expect({ code, err }, source).toEqual({ code: 0, err: '' });
      expect(out, source).toMatch(/>4 query heads, 2 key\/value heads,</);
      expect(out, source).toMatch(/>× 2</);
    }
  });

  it('ends with 2 for wrong usage and 1 for models that there are not, one line each', async () => {
    for (const [argv, code] of [[['diagram'], 2], [['diagram', 'gpt2', '--theme', 'neon'], 2], [['diagram', 'gpt2', '--columns', '0'], 2], [['diagram', './absent'], 1]] as const) {
      const ran = await lamella(...argv);
      expect({ code: ran.code, out: ran.out }).toEqual({ code, out: '' });
      expect(ran.err).toMatch(/^lamella: .*\n$/);
    }
    const file = join(temporaryFolder(), 'none', 'out.svg');
    expect(await lamella('diagram', 'gpt2', '-o', file)).toMatchObject({ code: 1, out: '' });
    expect(existsSync(file)).toBe(false);
  });
});

describe('lamella compare', () => {
  it('says what differs between two models below the table', async () => {
    const { out } = await lamella('compare', 'gpt2', 'smollm3-3b');
    const [table, words] = out.split('* differs between the models\n');
    expect(table).toMatch(/parameters/);
    expect(words).toMatch(/^- gpt2 norms with LayerNorm; SmolLM3-3B norms with RMSNorm\.\n- gpt2 has multi-head attention; SmolLM3-3B has grouped-query attention\.$/m);
    expect(words.replace(/\n {2}/g, ' ')).toMatch(/^- gpt2 places tokens by a learned table of 1,024 rows; SmolLM3-3B places tokens by RoPE of theta 5,000,000 in 27 of its 36 layers and by nothing \(NoPE\) in the other 9\.$/m);
  });

  it('keeps to the terminal, and to two models', async () => {
    const { out } = await lamellaWith(fakeIo({ terminal: true, columns: 72 }), 'compare', 'gpt2', 'deepseek-v3');
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(72);
    expect((await lamella('compare', 'gpt2', 'gpt2-xl', 'smollm3-3b')).out).not.toMatch(/^- /m);
    expect((await lamella('compare', 'gpt2')).out).not.toMatch(/^- |do not differ/m);
    expect((await lamella('compare', 'gpt2', 'gpt2')).out).toMatch(/\nthe two do not differ\n$/);
  });

  it('has them in its JSON', async () => {
    const { differences } = JSON.parse((await lamella('compare', 'gpt2', 'gpt2-xl', '--json')).out) as { differences: { topic: string; a: unknown; b: unknown }[] };
    expect(differences).toContainEqual({ topic: 'layers', a: 12, b: 48, sentence: 'gpt2-xl has 48 layers, gpt2 12.' });
    expect(JSON.parse((await lamella('compare', 'gpt2', 'gpt2-xl', 'smollm3-3b', '--json')).out)).not.toHaveProperty('differences');
  });
});
