// The command line as a whole: help, versions, exit codes, pipes, and the pieces that print.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bytes, flops, percent, ranges, short } from '../../src/cli/format.js';
import { meter } from '../../src/cli/progress.js';
import { pairs, table, wrap } from '../../src/cli/table.js';
import { fakeIo, lamella, lamellaWith, tinyModel } from './helpers.js';

const commands = ['run', 'inspect', 'compare', 'doctor'];

describe('help', () => {
  it('of the whole lists every command', async () => {
    const { code, out, err } = await lamella('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const command of commands) expect(out).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    expect(out).toMatch(/Exit codes/);
  });

  it.each(commands)('of %s has examples and every option', async (command) => {
    const { code, out, err } = await lamella(command, '--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(new RegExp(`^Usage: lamella ${command} `));
    expect(out).toMatch(/^Examples?:\n {2}\$ .*lamella/m);
    expect(out).toMatch(/--json/);
    expect((await lamella('help', command)).out).toBe(out);
  });

  it('names every flag of run', async () => {
    const { out } = await lamella('run', '--help');
    for (const flag of ['max-tokens', 'temperature', 'top-k', 'top-p', 'min-p', 'repetition-penalty', 'seed', 'stop', 'ignore-eos', 'backend', 'weights', 'threads', 'context', 'revision', 'chat', 'raw']) expect(out).toMatch(new RegExp(`--${flag} `));
  });
});

describe('exit codes', () => {
  it('are 2 for wrong usage, in one line', async () => {
    for (const argv of [['fly'], ['inspect'], ['inspect', 'gpt2', '--contexts', '5'], ['doctor', 'me']]) {
      const { code, out, err } = await lamella(...argv);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toMatch(/^lamella: .*\n$/);
    }
    expect((await lamella('inspct')).err).toMatch(/unknown command 'inspct' \(Did you mean inspect\?\)/);
  });

  it('are 2 with the help on stderr when nothing is asked for', async () => {
    const { code, out, err } = await lamella();
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^Usage: lamella/);
  });

  it('come with a stack under LAMELLA_DEBUG=1 only', async () => {
    const plain = await lamella('inspect', './absent');
    expect(plain.err.split('\n')).toHaveLength(2);
    const debug = await lamellaWith(fakeIo({ environment: { LAMELLA_DEBUG: '1' } }), 'inspect', './absent');
    expect(debug.code).toBe(1);
    expect(debug.err).toMatch(/\n\s+at /);
  });
});

it('prints its version', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  expect(await lamella('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

const built = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
// The runner builds first; a bare vitest may not have.
describe.skipIf(!existsSync(built))(`as a process${existsSync(built) ? '' : ' (needs dist/)'}`, () => {
  const node = (...argv: string[]) => spawnSync(process.execPath, [built, ...argv], { encoding: 'utf8' });

  it('runs, and keeps stdout for data', () => {
    const { status, stdout, stderr } = node('run', tinyModel(), 'Hello', '--max-tokens', '5', '--ignore-eos', '--backend', 'reference', '--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect((JSON.parse(stdout) as { tokens: number[] }).tokens).toHaveLength(5);
  });

  it('exits with 1 and 2', () => {
    expect(node('inspect', './absent')).toMatchObject({ status: 1, stdout: '' });
    expect(node('inspect')).toMatchObject({ status: 2, stdout: '' });
  });

  it('reads a prompt from a pipe', () => {
    const { status, stdout } = spawnSync(process.execPath, [built, 'run', tinyModel(), '-', '--max-tokens', '3', '--ignore-eos', '--backend', 'reference', '--json'], { encoding: 'utf8', input: 'Hello\n' });
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as { promptTokens: number }).promptTokens).toBe(5);
  });

  it('ends with 130 at an interrupt, what was written kept', async () => {
    const child = spawn(process.execPath, [built, 'run', tinyModel({ config: { max_position_embeddings: 100_000 } }), 'Hello', '--ignore-eos', '--backend', 'reference'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString(); });
    child.stdout.on('data', (chunk: Buffer) => {
      if (out === '') child.kill('SIGINT');
      out += chunk.toString();
    });
    const code = await new Promise((resolve) => { child.on('close', resolve); });
    expect({ code, err }).toEqual({ code: 130, err: '' });
    expect(out.length).toBeGreaterThan(0);
  });

  it.skipIf(process.platform === 'win32')('does not mind a reader that has seen enough', () => {
    const { stdout, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" "${built}" compare gpt2 gpt2-xl qwen3-8b --json | head -n 1`], { encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: '{\n', stderr: '' });
  });

  it('shows its help without loading what the commands need', () => {
    const started = performance.now();
    expect(node('--help').status).toBe(0);
    expect(performance.now() - started).toBeLessThan(1500);
  });
});

describe('numbers for people', () => {
  it('are short and honest', () => {
    expect([0, 999, 999_999, 1e6, 596_049_920, 960_000_000, 999_999_999, 671_026_419_200, 999_999_999_999, 1_026_408_232_448].map(short))
      .toEqual(['0', '999', '999,999', '1.0M', '596.0M', '960.0M', '1.0B', '671.0B', '1.000T', '1.026T']);
    expect([0, 70_272, 999_999, 1e6, 999_999_999, 5.4e10, 2.05e12].map(bytes)).toEqual(['0 B', '70,272 B', '999,999 B', '1.0 MB', '1.0 GB', '54.0 GB', '2.0 TB']);
    expect([1, 999, 3.4e9, 1.155e15].map(flops)).toEqual(['1 FLOP', '999 FLOP', '3.4 GFLOP', '1.2 PFLOP']);
    expect(percent(1, 3)).toBe('33.3 %');
    expect(ranges([0, 1, 2, 5, 7, 8])).toBe('0-2, 5, 7-8');
    expect(ranges([])).toBe('');
  });
});

describe('tables', () => {
  it('wrap long cells at spaces, and long words at hyphens', () => {
    expect(wrap('52 x window 1,024; 10 x full', 18)).toEqual(['52 x window 1,024;', '10 x full']);
    expect(wrap('Mistral-Small-3.1-24B-Instruct-2503', 18)).toEqual(['Mistral-Small-3.1-', '24B-Instruct-2503']);
    expect(wrap('unbreakable', 4)).toEqual(['unbreakable']);
  });

  it('line up', () => {
    expect(table([['', 'a', 'b'], ['x', '1', 'two words'], ['yy', '22', '']], { cell: 5, right: [1] })).toEqual(['     a  b', 'x    1  two', '        words', 'yy  22']);
    expect(pairs([['a', '1'], ['long', '2']])).toEqual(['a     1', 'long  2']);
  });

  it('are cut into blocks that repeat the first column', () => {
    expect(table([['k', 'aaaa', 'bbbb', 'cccc'], ['l', '1', '2', '3']], { width: 13 })).toEqual(['k  aaaa  bbbb', 'l  1     2', '', 'k  cccc', 'l  3']);
    expect(table([['k', 'wide column']], { width: 5, cell: 40 })).toEqual(['k  wide column']);
  });
});

describe('the progress meter', () => {
  it('is silent for what is quick, and where stderr is no terminal', () => {
    let now = 0;
    const io = fakeIo({ terminal: true });
    const quick = meter(io, () => now);
    quick.show('10 %');
    now = 499;
    quick.show('99 %');
    quick.end();
    expect(io.err()).toBe('');
    const pipe = fakeIo();
    const piped = meter(pipe, () => now);
    now = 5000;
    piped.show('10 %');
    piped.end();
    expect(pipe.err()).toBe('');
  });

  it('draws one line, not too often, and removes it', () => {
    let now = 0;
    const io = fakeIo({ terminal: true, columns: 12 });
    const slow = meter(io, () => now);
    now = 600;
    slow.show('loading 10 % of it');
    now = 650;
    slow.show('loading 20 %');
    slow.end();
    slow.end();
    expect(io.err()).toBe('\r\x1b[Kloading 10 \r\x1b[K');
  });
});
