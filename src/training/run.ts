// A training run as a directory: its settings (run.json), the tokenizer, packed tokens, figures
// (metrics.jsonl), the exact state to go on from (training.safetensors: weights, optimiser, steps made,
// replaced in one step), and the model as it stands, to be loaded like any other.
//
// A run that goes on continues bit for bit on the same backend: what comes next depends on that state
// and on the number of the step alone.

import { readSafetensors, writeSafetensors } from '../checkpoint/index.js';
import type { BackendName } from '../engine/index.js';
import type { Model } from '../model.js';
import { presetConfig } from '../models/index.js';
import type { PresetName } from '../models/index.js';
import { platform } from '../platform/index.js';
import type { LocalFiles } from '../platform/index.js';
import { BpeTrainer, END_OF_TEXT, loadTokenizer } from '../tokenizer/index.js';
import type { Tokenizer } from '../tokenizer/index.js';
import { PackedBatches } from './data/batches.js';
import { packedTokens } from './data/corpus.js';
import { documents } from './data/documents.js';
import { meanLoss } from './differentiate.js';
import { initialize } from './initialize.js';
import { adamw } from './optimizers/adamw.js';
import { muon, muonClip } from './optimizers/muon.js';
import type { Optimizer } from './optimizers/optimizer.js';
import { schedules } from './schedule.js';
import type { ScheduleName } from './schedule.js';
import { trainOn } from './train.js';
import type { TrainingStep } from './train.js';
import { Trainer } from './trainer.js';
import type { TrainerOptions } from './trainer.js';

export type OptimizerName = 'adamw' | 'muon' | 'muonclip';

/** Everything that decides a run's numbers, as run.json holds it. */
export interface RunSettings {
  readonly arch: string;
  readonly preset: PresetName;
  readonly data: readonly string[];
  /** A checkpoint whose tokenizer to take; without it one is trained on the data. */
  readonly tokenizer?: string;
  /** Tokens of a vocabulary that is trained. */
  readonly vocab: number;
  readonly optimizer: OptimizerName;
  /** Peak learning rate; the optimiser's own default without it. */
  readonly lr?: number;
  readonly weightDecay: number;
  readonly clip: number;
  readonly schedule: ScheduleName;
  readonly warmup: number;
  readonly steps: number;
  /** Windows per batch, and tokens per window. */
  readonly batch: number;
  readonly context: number;
  readonly accumulate: number;
  readonly validation: number;
  readonly seed: number;
  /** What computed it: a run goes on there unless told otherwise. Chosen when it starts. */
  readonly backend?: BackendName;
}

export interface RunOptions {
  readonly backend?: BackendName | 'auto';
  readonly threads?: number;
  /** 'layers': less memory for more work, and the same numbers (see TrainerOptions). */
  readonly recompute?: TrainerOptions['recompute'];
  readonly onProgress?: (what: string) => void;
}

const STATE = 'training.safetensors';

export class TrainingRun {
  /** From parts that fit together: `create` and `resume` make them. */
  constructor(
    readonly directory: string, readonly settings: RunSettings, readonly model: Model, readonly trainer: Trainer, readonly batches: PackedBatches, private readonly files: LocalFiles,
  ) {}

  /** Starts a run in a directory that has none yet. */
  static async create(directory: string, settings: RunSettings, options: RunOptions = {}): Promise<TrainingRun> {
    const files = await localFiles();
    if (await files.stat(files.join(directory, 'run.json'))) throw new Error(`${directory} holds a run already: resume it, or give another directory`);
    const absolute = { ...settings, data: settings.data.map((path) => files.absolute(path)) };
    for (const path of absolute.data) if (!(await files.stat(path))) throw new Error(`${path}: there is no such file`);
    await prepareTokenizer(files, directory, absolute, options);
    const run = await open(files, directory, absolute, options);
    await files.writeText(files.join(directory, 'run.json'), `${JSON.stringify({ ...absolute, backend: run.model.backend }, null, 2)}\n`);
    return run;
  }

  /** Goes on with the run of a directory, from its last saved state. */
  static async resume(directory: string, options: RunOptions = {}): Promise<TrainingRun> {
    const files = await localFiles();
    const text = await files.readText(files.join(directory, 'run.json'));
    if (text === undefined) throw new Error(`${directory} holds no run to resume (no run.json)`);
    const settings = JSON.parse(text) as RunSettings;
    const { backend = 'auto' } = options;
    const run = await open(files, directory, settings, { ...options, backend: backend === 'auto' ? settings.backend : backend });
    const path = files.join(directory, STATE);
    if (!(await files.stat(path))) return run;
    const saved = await readSafetensors(path);
    try {
      await run.trainer.restore(Number(saved.metadata.step), async (name) => saved.tensors.get(name)?.read());
    } finally {
      await saved.close();
    }
    await run.forgetMetricsAfter(run.trainer.step);
    return run;
  }

  /** Trains to the last step, or until the signal; each step's figures are also added to metrics.jsonl. */
  async* steps(signal?: AbortSignal): AsyncGenerator<TrainingStep, void> {
    const { accumulate, steps, schedule, warmup } = this.settings;
    const metrics = await this.files.openGrowing(this.metricsPath);
    let end = metrics.size;
    try {
      for await (const step of trainOn(this.trainer, { batches: (index) => this.batches.at(index), steps, accumulate, schedule: schedules[schedule]({ warmup }), signal })) {
        const line = new TextEncoder().encode(`${JSON.stringify(step)}\n`);
        await metrics.write(end, line);
        end += line.length;
        yield step;
      }
    } finally {
      await metrics.close();
    }
  }

  /** Mean loss over the validation part (its first `most` batches), by predicted token. */
  async validate(most = 16): Promise<number> {
    let [sum, count] = [0, 0];
    for (const batch of this.batches.validation()) {
      if (most-- <= 0) break;
      const { loss, tokens } = await meanLoss(this.model.engine, batch);
      sum += loss * tokens;
      count += tokens;
    }
    return sum / count;
  }

  /** Saves the state to go on from, then the model for others to load. */
  async save(): Promise<void> {
    const tensors = [...this.trainer.state()].map(([name, tensor]) => ({ name, dtype: 'F32', shape: tensor.shape, data: () => tensor.read() }));
    const writer = await this.files.writeDirectory(this.directory);
    try {
      await writer.write(STATE, writeSafetensors(tensors, { step: String(this.trainer.step) }));
      await writer.commit();
    } catch (error) {
      await writer.discard();
      throw error;
    }
    await this.model.save(this.directory);
  }

  async dispose(): Promise<void> {
    this.trainer.dispose();
    await this.model.dispose();
  }

  private get metricsPath(): string {
    return this.files.join(this.directory, 'metrics.jsonl');
  }

  /** Steps that were made after the last save are made again. */
  private async forgetMetricsAfter(step: number): Promise<void> {
    const lines = ((await this.files.readText(this.metricsPath)) ?? '').split('\n').filter((line) => line !== '');
    const kept = lines.filter((line) => (JSON.parse(line) as TrainingStep).step <= step);
    if (kept.length !== lines.length) await this.files.writeText(this.metricsPath, kept.map((line) => `${line}\n`).join(''));
  }
}

async function open(files: LocalFiles, directory: string, settings: RunSettings, { backend, threads, recompute, onProgress = () => {} }: RunOptions): Promise<TrainingRun> {
  const tokenizer = await loadTokenizer(directory);
  onProgress('reading the data');
  const tokens = await packedTokens(settings.data, tokenizer, { cache: directory, onProgress: progressOf('encoding the data', onProgress) });
  const batches = new PackedBatches(tokens, { ...settings, separator: separatorOf(tokenizer) });
  onProgress('making the model');
  const config = presetConfig(settings.arch, settings.preset, { vocab: tokenizer.vocabularySize, context: settings.context });
  const model = await initialize({ ...config, bos_token_id: separatorOf(tokenizer), eos_token_id: separatorOf(tokenizer) }, { seed: settings.seed, backend, threads, tokenizer });
  const trainer = new Trainer(model, { optimizer: optimizerOf(settings), clipNorm: settings.clip, recompute });
  return new TrainingRun(directory, settings, model, trainer, batches, files);
}

function separatorOf(tokenizer: Tokenizer): number {
  const id = tokenizer.tokenToId(END_OF_TEXT) ?? tokenizer.eosTokenId;
  if (id === undefined) throw new Error(`the tokenizer has neither ${END_OF_TEXT} nor an end-of-sequence token`);
  return id;
}

function optimizerOf({ optimizer, lr: learningRate, weightDecay }: RunSettings): Optimizer {
  const options = { weightDecay, ...(learningRate === undefined ? {} : { learningRate }) };
  switch (optimizer) {
    case 'adamw': return adamw(options);
    case 'muon': return muon(options);
    case 'muonclip': return muonClip(options);
    default: return optimizer satisfies never;
  }
}

/** Puts a tokenizer into the run's directory: that of a checkpoint, or one trained on the data. */
async function prepareTokenizer(files: LocalFiles, directory: string, { tokenizer, data, vocab }: RunSettings, { onProgress = () => {} }: RunOptions): Promise<void> {
  const writer = await files.writeDirectory(directory);
  try {
    for (const [name, bytes] of tokenizer ? await (await loadTokenizer(tokenizer)).originalFiles() : await trainedTokenizer(data, vocab, onProgress)) await writer.write(name, bytes);
    await writer.commit();
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

async function trainedTokenizer(data: readonly string[], vocab: number, onProgress: (what: string) => void): Promise<Map<string, Uint8Array>> {
  const trainer = new BpeTrainer();
  for (const path of data) for await (const { text } of documents(path, progressOf('counting words', onProgress))) trainer.add(text);
  onProgress('training the tokenizer');
  const json = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return new Map([
    ['tokenizer.json', json(trainer.tokenizerJson(vocab))],
    ['tokenizer_config.json', json({ tokenizer_class: 'PreTrainedTokenizerFast', bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, clean_up_tokenization_spaces: false })],
  ]);
}

function progressOf(what: string, onProgress: (what: string) => void): (bytes: number) => void {
  let done = 0;
  return (bytes) => onProgress(`${what}: ${((done += bytes) / 1e6).toFixed(1)} MB`);
}

async function localFiles(): Promise<LocalFiles> {
  const { files } = await platform();
  if (!files) throw new Error('training runs are kept in directories, which this platform does not have');
  return files;
}
