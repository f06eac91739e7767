// `lamella run`: the continuation and nothing else on stdout, exit codes, JSON, chats, and every
// kind of broken input in one clear line.

import { readFileSync, writeFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasShared, shared } from '../support.js';
import { fakeIo, lamella, lamellaWith, safetensors, tinyConfig, tinyModel, tinyShapes } from './helpers.js';
import { temporaryFolder } from '../temporary.js';
import type { FakeIoOptions, Ran } from './helpers.js';

const BACKEND = ['--backend', 'reference'];
const run = (...argv: string[]) => lamella('run', ...argv, ...BACKEND);
const runWith = (options: FakeIoOptions, ...argv: string[]) => lamellaWith(fakeIo(options), 'run', ...argv, ...BACKEND);

function expectFailure(ran: Ran, message: RegExp): void {
  expect(ran.err).toMatch(message);
  expect(ran.err.trimEnd().split('\n').filter((line) => !line.startsWith('lamella: warning: '))).toHaveLength(1);
  expect(ran.err).toMatch(/^lamella: /);
  expect(ran.out).toBe('');
  expect(ran.code).toBe(1);
}

describe('a prompt', () => {
  const model = tinyModel();

  it('is continued on stdout, and nothing else is written', async () => {
    const { code, out, err } = await run(model, 'Hello', '--max-tokens', '12', '--ignore-eos');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.length).toBeGreaterThan(0);
    expect(out.startsWith('Hello')).toBe(false);
  });

  it('gives JSON that says what the plain output says', async () => {
    const flags = ['--max-tokens', '8', '--ignore-eos', '--temperature', '0'];
    const plain = await run(model, 'Hello', ...flags);
    const { code, out, err } = await run(model, 'Hello', ...flags, '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const result = JSON.parse(out) as Record<string, unknown>;
    expect(Object.keys(result)).toEqual(['text', 'tokens', 'promptTokens', 'finishReason', 'timings']);
    expect(result).toMatchObject({ text: plain.out, promptTokens: 5, finishReason: 'length' });
    expect(result.tokens).toHaveLength(8);
    const timings = result.timings as Record<string, number>;
    expect(Object.keys(timings)).toEqual(['loadMs', 'promptTokensPerSecond', 'tokensPerSecond']);
    for (const value of Object.values(timings)) expect(value).toBeGreaterThan(0);
  });

  it('of no tokens is no division by zero', async () => {
    const { code, out } = await run(model, 'Hello', '--max-tokens', '0', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ text: '', tokens: [], finishReason: 'length', timings: { promptTokensPerSecond: null, tokensPerSecond: null } });
  });

  it('is the same with the same seed, and another with another', async () => {
    const sampled = (seed: string) => run(model, 'Hello', '--max-tokens', '30', '--temperature', '1.5', '--seed', seed, '--ignore-eos');
    const [a, b, c] = [await sampled('7'), await sampled('7'), await sampled('8')];
    expect(a.out).toBe(b.out);
    expect(a.out).not.toBe(c.out);
  });

  it('takes every sampling option', async () => {
    const greedy = await run(model, 'Hello', '--max-tokens', '10', '--temperature', '0', '--ignore-eos');
    const narrowed = await run(model, 'Hello', '--max-tokens', '10', '--temperature', '2', '--top-k', '1', '--top-p', '0.9', '--min-p', '0.1', '--ignore-eos');
    expect(narrowed.out).toBe(greedy.out);
    const penalised = await run(model, 'Hello', '--max-tokens', '30', '--repetition-penalty', '50', '--ignore-eos', '--json');
    const { tokens } = JSON.parse(penalised.out) as { tokens: number[] };
    expect(new Set(tokens).size).toBe(tokens.length);
  });

  it('ends before a stop text, any of several', async () => {
    const all = await run(model, 'Hello', '--max-tokens', '20', '--ignore-eos');
    const stop = all.out.slice(4, 6);
    const { out } = await run(model, 'Hello', '--max-tokens', '20', '--ignore-eos', '--stop', 'never there', '--stop', stop);
    expect(out).toBe(all.out.slice(0, all.out.indexOf(stop)));
  });

  it('is read from stdin, without its last line break', async () => {
    const flags = ['--max-tokens', '5', '--ignore-eos'];
    const given = await run(model, 'Once\nmore', ...flags);
    const piped = await runWith({ input: 'Once\nmore\n' }, model, '-', ...flags);
    expect(piped).toEqual(given);
  });

  it('gets its own line in a terminal', async () => {
    const flags = [model, 'Hello', '--max-tokens', '3', '--ignore-eos'];
    const [piped, terminal] = [await run(...flags), await runWith({ terminal: true }, ...flags)];
    expect(terminal.out).toBe(`${piped.out}\n`);
    expect(terminal.err).toBe('');
  });

  it('goes through the chat template with --chat only', async () => {
    const chatty = tinyModel({ template: true });
    const count = async (...flags: string[]) => (JSON.parse((await run(chatty, 'Hi', '--max-tokens', '1', '--json', ...flags)).out) as { promptTokens: number }).promptTokens;
    expect(await count()).toBe(2);
    // <|user|> "user: Hi" <|end|> <|start|>
    expect(await count('--chat')).toBe(3 + 8);
    expectFailure(await run(model, 'Hi', '--chat'), /chat template/);
  });

  it('takes the weights in another format, and another context', async () => {
    for (const format of ['f32', 'f16', 'q8_0', 'q4_0']) expect((await run(model, 'Hello', '--max-tokens', '2', '--weights', format)).code).toBe(0);
    expectFailure(await run(model, 'Hello', '--context', '4'), /5 tokens are more than the context of 4/);
  });
});

describe('Ctrl-C', () => {
  it('ends with 130 and keeps what was written', async () => {
    const io = fakeIo();
    const model = tinyModel({ config: { max_position_embeddings: 4096 } });
    const running = lamellaWith(io, 'run', model, 'Hello', '--ignore-eos', ...BACKEND);
    while (io.out().length < 5) await new Promise((resolve) => { setTimeout(resolve, 5); });
    io.interrupt();
    const { code, out, err } = await running;
    expect(code).toBe(130);
    expect(out.length).toBeGreaterThanOrEqual(5);
    expect(out.length).toBeLessThan(4000);
    expect(err).toBe('');
  });

  it('ends the loading too', async () => {
    const io = fakeIo();
    const running = lamellaWith(io, 'run', tinyModel(), 'Hello', ...BACKEND);
    await new Promise((resolve) => { setImmediate(resolve); });
    io.interrupt();
    expect(await running).toEqual({ code: 130, out: '', err: '' });
  });
});

describe('bad input gives one clear line:', () => {
  const broken = (change: (folder: string) => void): string => {
    const folder = tinyModel();
    change(folder);
    return folder;
  };
  const rewriteConfig = (change: Record<string, unknown>) => broken((folder) => writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...tinyConfig, ...change })));

  it('an empty prompt', async () => {
    expectFailure(await run(tinyModel(), ''), /the prompt is empty/);
    expectFailure(await runWith({ input: '\n' }, tinyModel(), '-'), /the prompt is empty/);
  });
  it('a prompt longer than the context', async () => {
    expectFailure(await run(tinyModel(), 'x'.repeat(65)), /65 tokens are more than the context of 64/);
  });
  it('ids outside the vocabulary', async () => {
    expectFailure(await run(tinyModel({ firstAddedId: 300 }), '<|user|>'), /token id 302 is not in the vocabulary \(0 to 259\)/);
  });
  it('a model that takes more memory than allowed, however it is streamed', async () => {
    expectFailure(await run(tinyModel(), 'Hello', '--memory', '10kB'), /the weights of .* take 0\.\d+ GB, with cache and workspace more than the 0\.001 GB allowed; .*0\.\d GB/);
    expect((await run(tinyModel(), 'Hello', '--memory', '1GB', '--max-tokens', '1')).code).toBe(0);
    expect((await run(tinyModel(), 'Hello', '--memory', 'much')).code).toBe(2);
  });
  it('no tokenizer', async () => {
    expectFailure(await run(tinyModel({ tokenizer: false }), 'Hello'), /has no tokenizer/);
  });
  it('a file cut short', async () => {
    expectFailure(await run(broken((folder) => truncateSync(join(folder, 'model.safetensors'), 5000)), 'Hello'), /model\.safetensors/);
    expectFailure(await run(broken((folder) => truncateSync(join(folder, 'model.safetensors'), 4)), 'Hello'), /model\.safetensors/);
    expectFailure(await run(broken((folder) => truncateSync(join(folder, 'tokenizer.json'), 50)), 'Hello'), /tokenizer\.json/);
    expectFailure(await run(broken((folder) => truncateSync(join(folder, 'config.json'), 20)), 'Hello'), /config\.json is not valid JSON/);
  });
  it('an unknown model_type', async () => {
    expectFailure(await run(rewriteConfig({ model_type: 'hal9000' }), 'Hello'), /unknown model_type 'hal9000'; known are/);
  });
  it('a config that lacks a key', async () => {
    expectFailure(await run(rewriteConfig({ num_attention_heads: undefined }), 'Hello'), /config\.json: missing key 'num_attention_heads'/);
  });
  it('a missing shard', async () => {
    const folder = tinyModel();
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { 'model.norm.weight': 'model-00001-of-00002.safetensors' } }));
    const { unlinkSync } = await import('node:fs');
    unlinkSync(join(folder, 'model.safetensors'));
    expectFailure(await run(folder, 'Hello'), /has no model-00001-of-00002\.safetensors/);
  });
  it('a missing and a misshapen tensor', async () => {
    const { 'model.norm.weight': _, ...fewer } = tinyShapes();
    expectFailure(await run(tinyModel({ shapes: fewer }), 'Hello'), /no tensor 'model\.norm\.weight' of shape \[16\]/);
    expectFailure(await run(tinyModel({ shapes: { ...tinyShapes(), 'model.norm.weight': [17] } }), 'Hello'), /'model\.norm\.weight' .* has shape \[17\], expected \[16\]/);
  });
  it('weights that are not numbers: a warning that names the tensor, then the failure', async () => {
    const value = (name: string, i: number) => (name === 'model.layers.1.mlp.up_proj.weight' ? NaN : Math.sin(i));
    const ran = await run(tinyModel({ value }), 'Hello');
    expect(ran.err).toMatch(/^lamella: warning: tensor 'model\.layers\.1\.mlp\.up_proj\.weight' in .*model\.safetensors holds NaN/);
    expectFailure(ran, /no finite logits/);
  });
  it('a place without a model, or with nothing', async () => {
    expectFailure(await run(temporaryFolder(), 'Hello'), /has no config\.json/);
    expectFailure(await run('./no/such/place', 'Hello'), /there is no file or directory "\.\/no\/such\/place"/);
  });
});

describe('wrong usage exits with 2:', () => {
  it.each([
    [['x', 'y', '--top-p', '2'], /--top-p <p>' argument '2' is invalid. Expected a number from 0 to 1/],
    [['x', 'y', '--max-tokens', 'many'], /Expected a whole number of at least 0/],
    [['x', 'y', '--seed', '-1'], /Expected a whole number from 0 to 4294967295/],
    [['x', 'y', '--temperature', 'NaN'], /Expected a number from 0 to 100/],
    [['x', 'y', '--threads', '0'], /Expected a whole number from 1 to 1024/],
    [['x', 'y', '--backend', 'abacus'], /Allowed choices are auto, reference/],
    [['x', 'y', '--weights', 'q1'], /Allowed choices are stored/],
    [['x', 'y', 'z'], /too many arguments/],
    [['x', 'y', '--max-token', '3'], /unknown option '--max-token' \(Did you mean --max-tokens\?\)/],
    [[], /missing required argument 'model'/],
    [['x'], /no prompt: give one, or - to read it from standard input/],
    [['x', '--json'], /--json needs a prompt/],
    [['x', '--chat'], /--chat is for a prompt/],
    [['x', 'y', '--raw'], /--raw is for chats/],
  ])('run %j', async (argv, message) => {
    const { code, out, err } = await lamella('run', ...argv);
    expect(err).toMatch(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

describe('a chat', () => {
  const flags = ['--max-tokens', '4', '--ignore-eos', ...BACKEND];
  /** Types each line when the prompt shows for it, then ends the input. */
  async function talk(model: string, lines: (string | (() => void))[], ...more: string[]): Promise<Ran> {
    const io = fakeIo({ terminal: true });
    const running = lamellaWith(io, 'run', model, ...flags, ...more);
    let [ended, ran] = [false, undefined as Ran | undefined];
    void running.then((result) => { ended = true; ran = result; });
    for (const [i, line] of lines.entries()) {
      while (!ended && io.out().split('> ').length - 1 <= i) await new Promise((resolve) => { setTimeout(resolve, 2); });
      if (typeof line === 'string') io.stdin.write(`${line}\n`);
      else line();
    }
    if (lines.at(-1) !== '/exit') {
      while (io.out().split('> ').length - 1 <= lines.length) await new Promise((resolve) => { setTimeout(resolve, 2); });
      io.stdin.write('\x04');
    }
    await running;
    return ran!;
  }

  it('says what it is on stderr, answers, and ends with /exit or Ctrl-D', async () => {
    const model = tinyModel({ template: true });
    for (const lines of [['Hi', '/exit'], ['Hi']]) {
      const { code, out, err } = await talk(model, lines);
      expect(code).toBe(0);
      expect(err).toMatch(/, chat\. \/reset forgets, \/exit ends/);
      expect(out).toContain('Hi');
    }
  });

  it('keeps the history, and forgets it with /reset', async () => {
    const model = tinyModel({ template: true, config: { max_position_embeddings: 50 } });
    // A question takes 10 tokens, an answer 13 and up to 3 for each of its 4 (bytes that are no
    // character come back as U+FFFD): two questions always fit, three never do.
    const full = await talk(model, ['Hi', 'Hi', 'Hi', '/exit']);
    expect(full.err).toMatch(/tokens are more than the context of 50/);
    expect(full.code).toBe(0);
    const reset = await talk(model, ['Hi', 'Hi', '/reset', 'Hi', '/exit']);
    expect(reset.err).not.toMatch(/more than the context/);
  });

  it('continues texts without a template, or with --raw', async () => {
    const { err, code } = await talk(tinyModel(), ['Hi', '/nonsense', '/exit']);
    expect(code).toBe(0);
    expect(err).toMatch(/continues what you write/);
    expect(err).toMatch(/there are two commands/);
    expect((await talk(tinyModel({ template: true }), ['/exit'], '--raw')).err).toMatch(/continues what you write/);
  });

  it('ends at the prompt with Ctrl-C', async () => {
    const io = fakeIo({ terminal: true });
    const running = lamellaWith(io, 'run', tinyModel(), ...flags);
    await io.saw('> ');
    io.stdin.write('\x03');
    expect((await running).code).toBe(0);
  });

  it('stops an answer with Ctrl-C and goes on', async () => {
    const io = fakeIo({ terminal: true });
    const running = lamellaWith(io, 'run', tinyModel({ config: { max_position_embeddings: 4096 } }), '--ignore-eos', ...BACKEND);
    await io.saw('> ');
    io.stdin.write('Hello\n');
    while (io.out().length < 60) await new Promise((resolve) => { setTimeout(resolve, 5); });
    io.stdin.write('\x03');
    while (io.out().split('> ').length < 3) await new Promise((resolve) => { setTimeout(resolve, 5); });
    io.stdin.write('/exit\n');
    const { code, out } = await running;
    expect(code).toBe(0);
    expect(out.length).toBeLessThan(3000);
  });
});

interface Story { prompt: string; greedy: number[]; text: string }
const stories = JSON.parse(readFileSync(new URL('../data/stories.json', import.meta.url), 'utf8')) as Record<string, Story[]>;

for (const [name, cases] of Object.entries(stories)) {
  describe.skipIf(!hasShared)(`${name}${hasShared ? '' : ' (needs ../shared)'}`, () => {
    it.each(cases)('goes on from "$prompt" as it should', async ({ prompt, greedy, text }) => {
      const model = join(shared, 'assets/checkpoints', name);
      const flags = ['--max-tokens', '96', '--temperature', '0', '--ignore-eos'];
      const { code, out, err } = await lamella('run', model, prompt, ...flags);
      expect(prompt + out).toBe(text);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      if (name !== 'stories260K') return;
      const { tokens } = JSON.parse((await lamella('run', model, prompt, ...flags, '--json')).out) as { tokens: number[] };
      expect(tokens).toEqual(greedy);
    }, 120_000);
  });
}

it('makes whole files', () => {
  // The other tests lean on this one's file format.
  const file = safetensors({ a: [2, 2] }, () => 1);
  expect(file.length).toBe(8 + Number(new DataView(file.buffer).getBigUint64(0, true)) + 16);
});
