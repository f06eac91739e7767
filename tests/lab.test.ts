// The experiments behind docs/claims.md: their arithmetic, and that every script runs: two steps a model
// on a made-up corpus. The scripts run the built library, which is built here where it is not.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { hiddenParameters } from '../src/models/index.js';
import { temporaryFolder } from './temporary.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = temporaryFolder();

/** A module of lab/ or scripts/, which have no types. */
const load = (file: string) => import(pathToFileURL(join(root, file)).href);

beforeAll(async () => {
  const { build, isStale } = await load('scripts/build.mjs');
  if (isStale()) build();
});

/** Two hundred stories of a few words in changing order, each longer than 256 tokens. */
function corpus(): string {
  const words = ['once', 'upon', 'a', 'time', 'there', 'was', 'little', 'cat', 'who', 'saw', 'big', 'dog', 'and', 'ran', 'home'];
  let state = 1;
  const next = () => (state = (state * 48271) % 2147483647);
  const story = () => Array.from({ length: 300 }, () => words[next() % words.length]).join(' ');
  const path = join(folder, 'stories.txt');
  writeFileSync(path, Array.from({ length: 60 }, story).join('\n<|endoftext|>\n'));
  return path;
}

const run = (script: string, ...args: string[]) => spawnSync(process.execPath, [join(root, script), ...args], { encoding: 'utf8', cwd: root });
const claims = ['muon-against-adamw', 'latent-attention', 'sliding-window', 'without-positions', 'experts', 'stable-rates', 'qk-clip', 'shared-expert'];

describe('scripts', () => {
  const work = join(folder, 'run');
  const small = ['--run', work, '--backend', 'wasm', '--steps', '2', '--seeds', '1', '--batch', '1', '--heldout', '1', '--rates', '1', '--processes', '1'];
  const resultOf = (name: string) => JSON.parse(readFileSync(join(work, `${name}.json`), 'utf8'));

  it('say what is missing in a sentence', () => {
    const { status, stderr } = run('lab/experts.mjs', '--run', join(folder, 'nowhere'));
    expect([status, stderr]).toEqual([1, `${join(folder, 'nowhere')} has no stories yet: give text files with --data, or tell stories with scripts/zoo/corpus.mjs first\n`]);
    expect(run('lab/all.mjs', '--claims', 'more-is-better').stderr).toMatch(/^there is no claim 'more-is-better': muon-against-adamw, /);
    expect(run('lab/experts.mjs', '--seeds', '0').stderr).toBe("--seeds must be a whole number above 0, got '0'\n");
  });

  it('all run, and keep every experiment with its loss', () => {
    const { status, stderr } = run('lab/all.mjs', '--data', corpus(), ...small);
    expect([status, stderr]).toEqual([0, '']);
    for (const name of claims) {
      const { variants, runs, summary } = resultOf(name);
      expect(summary).toBeTruthy();
      expect(new Set(runs.map(({ variant }: { variant: string }) => variant))).toEqual(new Set(variants.map((variant: { name: string }) => variant.name)));
      for (const { curve, heldOut } of runs) {
        expect(curve.at(-1).loss).toBeGreaterThan(0);
        for (const { nll, tokens } of heldOut) expect([Number.isFinite(nll), tokens > 0]).toEqual([true, true]);
      }
      const figure = readFileSync(join(work, `${name}.svg`), 'utf8');
      expect(figure).toMatch(/^<svg /);
      expect(figure).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  it('make nothing again that is there, and draw it without a corpus', () => {
    const before = resultOf('experts');
    expect(run('lab/experts.mjs', ...small).status).toBe(0);
    const again = resultOf('experts');
    // What is measured is the time too: the same numbers are no second run's.
    expect(again.runs.map(({ seconds }: { seconds: number }) => seconds).sort()).toEqual(before.runs.map(({ seconds }: { seconds: number }) => seconds).sort());
    rmSync(join(work, 'experts.svg'));
    const { status, stdout } = run('lab/experts.mjs', '--draw', '--out', work, '--run', join(folder, 'nowhere'));
    expect([status, stdout.split('\n')[0]]).toEqual([0, 'experts']);
    expect(readFileSync(join(work, 'experts.svg'), 'utf8')).toMatch(/^<svg /);
  });

  it('tell their options', () => {
    const { status, stdout } = run('lab/qk-clip.mjs', '--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/QK-Clip[^]*Usage: node lab\/qk-clip\.mjs \[options\][^]*--seeds <n>/);
  });
});

describe('an experiment', () => {
  const [tokens, mark] = [Uint32Array.from({ length: 400 }, (_, i) => (i % 20 === 0 ? 0 : 1 + ((i * 7) % 9))), 0];
  const stories = [0, 40, 80].map((start) => [...tokens.subarray(start, start + 15)]);
  const config = { model_type: 'llama', vocab_size: 10, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 64, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true };
  const spec = { config, optimizer: { name: 'adamw', learningRate: 0.01 }, seed: 1, steps: 6, context: 12, batch: 2 };

  it('measures stretches of positions that add up to the whole', async () => {
    const { runExperiment } = await load('lab/experiment.mjs');
    const corpus = { tokens, heldOut: stories, mark };
    const whole = (await runExperiment({ ...spec, lengths: [12] }, corpus, { backend: 'reference' })).heldOut;
    const parts = (await runExperiment({ ...spec, lengths: [4, 12] }, corpus, { backend: 'reference' })).heldOut;
    expect(parts.map(({ from, to, tokens: count }: { from: number; to: number; tokens: number }) => [from, to, count])).toEqual([[0, 4, 12], [4, 12, 24]]);
    expect((parts[0].nll * 12 + parts[1].nll * 24) / 36).toBeCloseTo(whole[0].nll, 4);
    expect(parts[0].nll).not.toBeCloseTo(parts[1].nll, 2);
  });

  it('learns, the same for the same seed, and says so where it ends in no number', async () => {
    const { runExperiment } = await load('lab/experiment.mjs');
    const corpus = { tokens, heldOut: stories, mark };
    const [a, b, c] = [await runExperiment(spec, corpus, { backend: 'reference' }), await runExperiment(spec, corpus, { backend: 'reference' }), await runExperiment({ ...spec, seed: 2 }, corpus, { backend: 'reference' })];
    expect(a.curve).toEqual(b.curve);
    expect(a.curve).not.toEqual(c.curve);
    expect(a.curve.at(-1).loss).toBeLessThan(a.curve[0].loss);
    const failed = await runExperiment({ ...spec, optimizer: { name: 'adamw', learningRate: 1e30 } }, corpus, { backend: 'reference' });
    expect(failed.diverged).toMatch(/^step \d+: the loss is /);
    expect(failed.heldOut).toEqual([]);
  });
});

describe('arithmetic', () => {
  const record = (variant: string, rate: number, seed: number, nll: number) => ({ variant, seed, optimizer: { name: 'muon', learningRate: rate }, heldOut: [{ from: 0, to: 8, nll, tokens: 10 }], curve: [] });

  it('of seeds: spread, and a difference that decides or does not', async () => {
    const { deviation, difference, lossOf, spread } = await load('lab/statistics.mjs');
    expect(spread([1, 2, 3])).toEqual({ mean: 2, deviation: 1, values: [1, 2, 3] });
    expect(deviation([5])).toBeUndefined();
    // Seed by seed 0.1, 0.2 and 0.3 higher: 0.2, its error 0.1 / sqrt(3), and t = 3.5 is less than 4.3.
    expect(difference([1.1, 2.2, 3.3], [1, 2, 3])).toEqual({ mean: 0.2, error: 0.0577, decided: false });
    expect(difference([1.2, 2.2, 3.3], [1, 2, 3])).toEqual({ mean: 0.2333, error: 0.0333, decided: true });
    expect(difference([0.8, 1.8, 2.7], [1, 2, 3]).decided).toBe(true);
    expect(difference([1.1], [1])).toEqual({ mean: 0.1, decided: false });
    expect(lossOf({ heldOut: [{ nll: 2, tokens: 10 }, { nll: 5, tokens: 20 }] })).toBe(4);
    expect(lossOf({ heldOut: [] })).toBe(Infinity);
    expect(lossOf({ heldOut: [{ to: 8, nll: 2, tokens: 10 }, { to: 16, nll: 5, tokens: 20 }] }, 8)).toBe(2);
  });

  it('of positions: at the rate that is best up to the trained length, whatever comes beyond', async () => {
    const { byPosition } = await load('lab/compared.mjs');
    const run = (variant: string, rate: number, within: number, beyond: number) => ({ ...record(variant, rate, 1, 0), heldOut: [{ from: 0, to: 8, nll: within, tokens: 10 }, { from: 8, to: 16, nll: beyond, tokens: 10 }] });
    const [a, b] = byPosition({ variants: [{ name: 'a' }, { name: 'b' }], settings: { context: 8 }, runs: [run('a', 0.1, 2, 9), run('a', 0.2, 3, 3), run('b', 0.1, 4, 5)] });
    expect([a.rate, a.parts.map(({ mean }: { mean: number }) => mean)]).toEqual([0.1, [2, 9]]);
    expect(b.parts.map(({ difference }: { difference: { mean: number } }) => difference.mean)).toEqual([2, -4]);
  });

  it('of designs: the rate of the lowest first seed, all seeds at it, differences to the first design', async () => {
    const { compareDesigns } = await load('lab/compared.mjs');
    const runs = [record('a', 0.1, 1, 3), record('a', 0.2, 1, 2.5), record('a', 0.2, 2, 2.7), record('b', 0.1, 1, 2.6), record('b', 0.2, 1, 2.8), record('b', 0.1, 2, 2.7)];
    const [a, b] = compareDesigns({ variants: [{ name: 'a' }, { name: 'b' }, { name: 'never trained' }], runs });
    expect([a.rate, a.values, a.difference]).toEqual([0.2, [2.5, 2.7], undefined]);
    expect([b.rate, b.values, b.difference.mean]).toEqual([0.1, [2.6, 2.7], 0.05]);
  });

  it('of tokens to a loss: on the line between two lengths, over the logarithm', async () => {
    const { tokensToReach } = await load('lab/muon-against-adamw.mjs');
    const points = [{ tokens: 100, loss: 4 }, { tokens: 400, loss: 3 }, { tokens: 800, loss: 2.5 }];
    expect(tokensToReach(points, 3.5)).toBeCloseTo(200);
    expect(tokensToReach(points, 2.5)).toBeCloseTo(800);
    expect([tokensToReach(points, 2.4), tokensToReach(points, 4.1)]).toEqual([undefined, undefined]);
  });

  it('of a ladder of rates: best, first failing, sensitivity', async () => {
    const { onLadder } = await load('lab/stable-rates.mjs');
    const runs = [record('a', 0.1, 1, 3), record('a', 0.2, 1, 2.8), record('a', 0.4, 1, 3.4), { ...record('a', 0.8, 1, 0), heldOut: [] }];
    const { best, fails, sensitivity, ladder } = onLadder('a', runs, Math.round(Math.exp(5)));
    expect([best.rate, fails]).toEqual([0.2, 0.4]);
    expect(ladder.at(-1).loss).toBeCloseTo(5, 2);
    expect(sensitivity).toBeCloseTo((0.2 + 0 + 0.6 + 2.2) / 4, 2);
  });

  it('of sizes: designs that are compared have the parameters that their claim says', async () => {
    const shape = { vocab: 512, context: 128 };
    const sizes = async (name: string) => (await load(`lab/${name}.mjs`)).claim.variants(shape).map(({ config }: { config: Record<string, unknown> }) => hiddenParameters(config));
    for (const name of ['latent-attention', 'sliding-window', 'without-positions', 'shared-expert']) {
      const [first, ...others] = await sizes(name);
      for (const size of others) expect(Math.abs(size - first) / first).toBeLessThan(0.002);
    }
    const { describe: describeModel } = await load('dist/analysis/index.js');
    const [active, mixture, all] = await Promise.all((await load('lab/experts.mjs')).claim.variants(shape).map(async ({ config }: { config: unknown }) => (await describeModel(config)).parameters));
    expect(Math.abs(mixture.active - active.active) / active.active).toBeLessThan(0.01);
    expect(Math.abs(mixture.total - all.total) / all.total).toBeLessThan(0.01);
  });
});
