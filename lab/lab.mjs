// One claim's experiments, and the file they are kept in: what is asked for again is not made again.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from '../dist/analysis/index.js';
import { hiddenOf } from './shapes.mjs';
import { lossOf } from './statistics.mjs';

/** How often a ladder of rates is extended where its best is its end. */
const EXTENSIONS = 2;

export class Lab {
  /** The experiments asked for, in the order in which they were there. */
  records = [];

  /** `options`: the command line's. `onRecord` is called after each experiment. */
  constructor(claim, { queue, corpus, options, priority = 0, onRecord = () => {} }) {
    const { seeds, steps, batch, heldout: heldOut, backend, device, rates } = options;
    Object.assign(this, { claim, queue, corpus, priority, backend, device, onRecord, mostRates: rates });
    this.settings = { ...claim.settings, ...Object.fromEntries(Object.entries({ seeds, steps, batch, heldOut }).filter(([, value]) => value !== undefined)) };
    this.folder = options.out ?? options.run;
    this.path = join(this.folder, `${claim.name}.json`);
    this.saved = existsSync(this.path) ? JSON.parse(readFileSync(this.path, 'utf8')) : undefined;
    this.variants = corpus && claim.variants({ vocab: corpus.vocabulary, ...this.settings });
  }

  get seeds() { return Array.from({ length: this.settings.seeds }, (_, i) => i + 1); }

  /** The part of a ladder of rates that is asked for. */
  ladder(rates) { return rates.slice(0, this.mostRates); }

  /** Trains a variant, or finds that it was trained. `what`: optimizer, seed, and what else differs from the claim's settings. */
  async run(variant, what) {
    const { seeds: _, ...settings } = this.settings;
    const spec = { ...settings, ...what, config: this.variants.find(({ name }) => name === variant).config };
    const key = createHash('sha256').update(JSON.stringify([spec, this.corpus.figures.print, this.backend])).digest('hex').slice(0, 12);
    const known = this.saved?.runs.find((run) => run.key === key);
    const record = known ?? { key, variant, ...what, ...await this.queue.run(spec, this.priority) };
    this.records.push(record);
    this.onRecord();
    if (!known) this.write(await this.result([...(this.saved?.runs ?? []).filter((run) => !this.records.some((mine) => mine.key === run.key)), ...this.records]));
    return record;
  }

  /**
   * Finds a variant's learning rate with the first seed, by the loss up to the trained length, over a ladder
   * that goes on where its best is its end, and trains the other seeds at that rate. `optimizer(rate)`.
   */
  async tuned(variant, rates, optimizer, what = {}) {
    const losses = new Map();
    const attempt = async (rate) => losses.set(rate, lossOf(await this.run(variant, { optimizer: optimizer(rate), seed: 1, ...what }), this.settings.context));
    const best = () => [...losses].sort((a, b) => a[1] - b[1])[0][0];
    await Promise.all(this.ladder(rates).map(attempt));
    for (let i = 0; i < EXTENSIONS && this.mostRates === undefined; i++) {
      const ends = { [Math.min(...losses.keys())]: 1 / 2, [Math.max(...losses.keys())]: 2 };
      if (!(best() in ends)) break;
      await attempt(best() * ends[best()]);
    }
    await Promise.all(this.seeds.slice(1).map((seed) => this.run(variant, { optimizer: optimizer(best()), seed, ...what })));
  }

  /** Writes result and figure; `whole`: every experiment that was asked for is there. */
  async finish(whole) {
    return this.publish(await this.result(whole ? this.records : [...new Map([...(this.saved?.runs ?? []), ...this.records].map((run) => [run.key, run])).values()]));
  }

  /** Tells and draws anew what was kept. */
  async redraw() {
    if (!this.saved) throw new Error(`${this.path} is not there: run it without --draw first`);
    const { summary, runs, ...head } = this.saved;
    return this.publish({ ...head, about: this.claim.about, ...(this.device ? { device: this.device } : {}), summary, runs });
  }

  publish(result) {
    const { summary: _, runs, ...head } = result;
    const whole = { ...head, summary: this.claim.summarise(result), runs };
    this.write(whole);
    writeFileSync(join(this.folder, `${this.claim.name}.svg`), this.claim.figure(whole));
    return whole;
  }

  /** The old file stays whole until the new one is. */
  write(result) {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(`${this.path}.part`, readable(result));
    renameSync(`${this.path}.part`, this.path);
  }

  async result(runs) {
    const { claim: { name: claim, about }, corpus: { figures: corpus }, backend, device, settings } = this;
    return { claim, about, corpus, backend, ...(device ? { device } : {}), settings, variants: await this.described(), runs };
  }

  /** What the analysis says of each variant; bytes of keys and values in bf16. */
  async described() {
    return this.figures ??= await Promise.all(this.variants.map(async ({ name, config }) => {
      const { parameters, kvBytesPerToken, kvBytes } = await describe(config);
      return { name, parameters: parameters.total, active: parameters.active, hidden: hiddenOf(config), kvBytesPerToken, kvBytesAtContext: kvBytes(this.settings.context), config };
    }));
  }
}

/** JSON with a line for each experiment and each design. */
function readable(result) {
  const lists = ['variants', 'runs'];
  const parts = Object.entries(result).map(([key, value]) => {
    const body = lists.includes(key) ? `[\n${value.map((each) => `    ${JSON.stringify(each)}`).join(',\n')}\n  ]` : JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');
    return `  ${JSON.stringify(key)}: ${body}`;
  });
  return `{\n${parts.join(',\n')}\n}\n`;
}
