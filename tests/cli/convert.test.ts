// `lamella convert`: what it writes runs as the original does, it never overwrites unasked, and it
// leaves nothing behind when it fails or is interrupted.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGguf, readSafetensors } from '../../src/checkpoint/index.js';
import { storyModel } from '../generate/story_model.js';
import { hasShared, modelDirectory, shared } from '../support.js';
import { fakeIo, lamella, lamellaWith, tinyModel, tinyShapes } from './helpers.js';
import { temporaryFolder } from '../temporary.js';

const continuation = async (model: string) => (await lamella('run', model, 'Once upon', '--max-tokens', '24', '--temperature', '0', '--ignore-eos', '--backend', 'reference', '--json')).out;
const told = async (model: string) => (JSON.parse(await continuation(model)) as { tokens: number[] }).tokens;
const parsed = <T>(out: string): T => JSON.parse(out) as T;

async function typesOf(path: string): Promise<Record<'matrices' | 'vectors', string[]>> {
  const file = await (path.endsWith('.gguf') ? readGguf(path) : readSafetensors(join(path, 'model.safetensors')));
  const types = (wanted: (axes: number) => boolean) => [...new Set([...file.tensors.values()].filter(({ shape }) => wanted(shape.length)).map(({ dtype }) => dtype))].sort();
  await file.close();
  return { matrices: types((axes) => axes > 1), vectors: types((axes) => axes < 2) };
}

describe('to a GGUF file', () => {
  it('tells the same story, with its tokenizer, and says what it wrote', async () => {
    const [model, folder] = [await storyModel(), temporaryFolder()];
    const output = join(folder, 'story.gguf');
    const { code, out, err } = await lamella('convert', model, output);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^.*story\.gguf: [\d,.]+ (B|MB), weights in f32\n$/);
    expect(readdirSync(folder)).toEqual(['story.gguf']);
    expect(await told(output)).toEqual(await told(model));
  });

  it.each([['f32', 'F32'], ['f16', 'F16'], ['bf16', 'BF16'], ['q8_0', 'Q8_0'], ['q4_0', 'Q4_0']])('holds the matrices in %s and the vectors in float32', async (weights, type) => {
    const output = join(temporaryFolder(), 'story.gguf');
    const { code, out } = await lamella('convert', await storyModel(), output, '--weights', weights, '--json');
    expect(code).toBe(0);
    expect(parsed(out)).toEqual({ output, format: 'gguf', weights, bytes: readFileSync(output).length, skipped: [] });
    expect(await typesOf(output)).toEqual({ matrices: [type], vectors: ['F32'] });
    expect(await told(output)).toHaveLength(24);
  });

  it('keeps the stored format, that of another GGUF file too', async () => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    for (const weights of ['q4_0', 'bf16']) {
      const [first, second] = [join(folder, `${weights}.gguf`), join(folder, `${weights}-again.gguf`)];
      await lamella('convert', model, first, '--weights', weights);
      const { out } = await lamella('convert', first, second, '--json');
      expect(parsed<{ weights: string }>(out).weights).toBe(weights);
      expect(await told(second)).toEqual(await told(first));
    }
  });

  it('refuses a stored format that GGUF does not have, by name', async () => {
    const output = join(temporaryFolder(), 'out.gguf');
    const { code, out, err } = await lamella('convert', modelDirectory('deepseek_v3_fp8')!, output);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^lamella: .*stored as F8_E4M3, .*--weights f32, f16, bf16, q8_0, q4_0\n$/);
    expect(existsSync(output)).toBe(false);
  });

  it('takes a checkpoint without a tokenizer, with a warning', async () => {
    const output = join(temporaryFolder(), 'out.gguf');
    const { code, err } = await lamella('convert', modelDirectory('qwen3')!, output, '--weights', 'f16');
    expect(code).toBe(0);
    expect(err).toMatch(/^lamella: warning: .*qwen3 has no tokenizer: .*\n$/);
    expect((await typesOf(output)).matrices).toEqual(['F16']);
  });
});

describe('to a directory', () => {
  it.each([['f32', 'float32'], ['f16', 'float16'], ['bf16', 'bfloat16']])('holds everything in %s', async (weights, dtype) => {
    const output = join(temporaryFolder(), 'new', 'folder');
    const { code, out, err } = await lamella('convert', await storyModel(), output, '--weights', weights, '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(parsed(out)).toMatchObject({ output, format: 'safetensors', weights, skipped: [], bytes: readFileSync(join(output, 'model.safetensors')).length });
    expect(readdirSync(output)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect((await typesOf(output)).matrices).toEqual([weights.toUpperCase()]);
    expect(parsed<{ torch_dtype: string }>(readFileSync(join(output, 'config.json'), 'utf8')).torch_dtype).toBe(dtype);
  });

  it('leads from GGUF back to the same story', async () => {
    const [model, folder] = [await storyModel(), temporaryFolder()];
    await lamella('convert', model, join(folder, 'story.gguf'));
    const { code, err } = await lamella('convert', join(folder, 'story.gguf'), join(folder, 'back'));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(await told(join(folder, 'back'))).toEqual(await told(model));
  });

  it('refuses block formats by name, and says so where they were stored', async () => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    for (const weights of ['q8_0', 'q4_0']) {
      const { code, err } = await lamella('convert', model, join(folder, 'out'), '--weights', weights);
      expect(code).toBe(2);
      expect(err).toMatch(new RegExp(`^lamella: safetensors cannot hold ${weights}: .*\\.gguf.*\\n$`));
    }
    await lamella('convert', model, join(folder, 'q8.gguf'), '--weights', 'q8_0');
    const { code, err } = await lamella('convert', join(folder, 'q8.gguf'), join(folder, 'out'));
    expect(code).toBe(0);
    expect(err).toMatch(/stored as Q8_0, which safetensors has no plain type for: they are written as f32/);
  });

  it('refuses a type that routers would not be in', async () => {
    const output = join(temporaryFolder(), 'out');
    const { code, err } = await lamella('convert', modelDirectory('qwen3_moe')!, output, '--weights', 'f16');
    expect(code).toBe(1);
    expect(err).toMatch(/routers keep the type that they are stored in.*--weights f32 or stored/);
    expect(existsSync(output)).toBe(false);
  });
});

describe('tensors without a place', () => {
  it.each(['out.gguf', 'out'])('are named (%s)', async (name) => {
    const names = Array.from({ length: 14 }, (_, i) => `vision_tower.layers.${i}.weight`);
    const shapes = { ...tinyShapes(), ...Object.fromEntries(names.map((each) => [each, [2, 2]])) };
    const output = join(temporaryFolder(), name);
    const { code, out, err } = await lamella('convert', tinyModel({ shapes, tokenizer: false }), output, '--json');
    expect(code).toBe(0);
    expect([...parsed<{ skipped: string[] }>(out).skipped].sort()).toEqual([...names].sort());
    expect(err).toMatch(/14 stored tensors have no place in the output: vision_tower\.layers\.0\.weight, .* and 2 more/);
  });
});

describe('what is there already', () => {
  it('is overwritten with --force only', async () => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    const [file, directory] = [join(folder, 'a.gguf'), join(folder, 'b')];
    mkdirSync(directory);
    writeFileSync(file, 'mine');
    writeFileSync(join(directory, 'notes.txt'), 'mine');
    for (const [output, message] of [[file, /a\.gguf exists: .*--force/], [directory, /b has files in it: .*--force/]] as const) {
      const refused = await lamella('convert', model, output);
      expect(refused).toMatchObject({ code: 1, out: '' });
      expect(refused.err).toMatch(message);
      expect(readFileSync(file, 'utf8').slice(0, 4)).toBe(output === file ? 'mine' : 'GGUF');
      expect((await lamella('convert', model, output, '--force')).code).toBe(0);
      expect(await told(output)).toEqual(await told(model));
    }
    expect(readFileSync(join(directory, 'notes.txt'), 'utf8')).toBe('mine');
  });

  it('is never replaced by something of another kind', async () => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    mkdirSync(join(folder, 'dir.gguf'));
    writeFileSync(join(folder, 'plain'), 'mine');
    expect((await lamella('convert', model, join(folder, 'dir.gguf'), '--force')).err).toMatch(/dir\.gguf is a directory, and a file is to be written/);
    expect((await lamella('convert', model, join(folder, 'plain'), '--force')).err).toMatch(/plain is a file, and a directory is to be written/);
    expect(await lamella('convert', model, join(folder, 'x.safetensors'))).toMatchObject({ code: 2, err: expect.stringMatching(/neither a \.gguf file nor a directory/) as string });
  });

  it('may be the source itself', async () => {
    const file = join(temporaryFolder(), 'story.gguf');
    await lamella('convert', await storyModel(), file);
    const before = await told(file);
    expect((await lamella('convert', file, file, '--force')).code).toBe(0);
    expect(await told(file)).toEqual(before);
  });
});

describe('Ctrl-C', () => {
  const everything = (folder: string) => readdirSync(folder, { recursive: true }).map(String);

  it.each(['deep/er/out.gguf', 'deep/er/out'])('while %s is written leaves nothing behind', async (name) => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    const io = fakeIo();
    const running = lamellaWith(io, 'convert', model, join(folder, name), '--weights', 'f16');
    let [ended, partial] = [false, false];
    void running.then(() => { ended = true; });
    while (!ended && !partial) {
      partial = everything(folder).some((each) => each.endsWith('.partial'));
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    io.interrupt();
    expect(await running).toEqual({ code: 130, out: '', err: '' });
    expect(partial).toBe(true);
    expect(everything(folder)).toEqual([]);
  });

  it('leaves a file that was to be overwritten as it was', async () => {
    const [folder, model] = [temporaryFolder(), await storyModel()];
    writeFileSync(join(folder, 'out.gguf'), 'mine');
    const io = fakeIo();
    const running = lamellaWith(io, 'convert', model, join(folder, 'out.gguf'), '--force');
    io.interrupt();
    expect((await running).code).toBe(130);
    expect(everything(folder)).toEqual(['out.gguf']);
    expect(readFileSync(join(folder, 'out.gguf'), 'utf8')).toBe('mine');
  });
});

it('is explained by its help, and wants a known format', async () => {
  const { out } = await lamella('convert', '--help');
  for (const flag of ['weights', 'revision', 'force', 'json']) expect(out).toContain(`--${flag}`);
  expect(out).toMatch(/^Examples:\n {2}\$ lamella convert/m);
  expect(await lamella('convert', 'a', 'b.gguf', '--weights', 'q1')).toMatchObject({ code: 2, err: expect.stringMatching(/Allowed choices are f32, f16, bf16, q8_0, q4_0, stored/) as string });
});

describe.skipIf(!hasShared)(`a story model${hasShared ? '' : ' (needs ../shared)'}`, () => {
  it('told from a GGUF file in f16 is the story of the checkpoint', async () => {
    const output = join(temporaryFolder(), 'stories.gguf');
    const model = join(shared, 'assets/checkpoints/stories260K');
    expect((await lamella('convert', model, output, '--weights', 'f16')).err).toBe('');
    expect(await told(output)).toEqual(await told(model));
  });
});
