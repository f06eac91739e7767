// `lamella train`: a small model of any architecture from scratch, on text files.

import type { Command } from 'commander';
import { Option } from 'commander';
import { backendNames } from '../engine/backends.js';
import type { BackendName } from '../engine/backends.js';
import type { OptimizerName, RunSettings, ScheduleName, TrainingRun, TrainingStep } from '../training/index.js';
import { Exit, INTERRUPTED, UsageError } from './io.js';
import type { Io } from './io.js';
import { number } from './options.js';
import { meter } from './progress.js';

const OPTIMIZERS = ['adamw', 'muon', 'muonclip'] as const satisfies readonly OptimizerName[];
const SCHEDULES = ['cosine', 'wsd', 'constant'] as const satisfies readonly ScheduleName[];
const whole = (least: number) => number({ least, whole: true });

interface TrainCommandOptions extends Omit<RunSettings, 'backend' | 'data' | 'preset' | 'warmup'> {
  readonly preset: 'tiny';
  readonly data?: readonly string[];
  readonly out: string;
  readonly warmup?: number;
  readonly saveEvery: number;
  readonly evalEvery: number;
  readonly backend: BackendName | 'auto';
  readonly threads?: number;
  readonly recompute?: true;
  readonly resume?: true;
  readonly json?: true;
}

export function registerTrain(program: Command, io: Io): void {
  program.command('train')
    .description('train a small model of any architecture from scratch')
    .option('--data <files...>', 'text files (documents divided by <|endoftext|>) or .jsonl files with a "text" in each line')
    .option('--out <directory>', 'where the run is kept: model, state, figures', 'run')
    .option('--arch <name>', 'architecture: gpt2, llama, olmo2, gemma3, mistral, llama4, qwen3, qwen3_moe, smollm3, deepseek_v3, kimi_k2', 'llama')
    .addOption(new Option('--preset <name>', 'size').choices(['tiny']).default('tiny'))
    .addOption(new Option('--optimizer <name>', 'what moves the weights').choices(OPTIMIZERS).default('muon'))
    .option('--lr <rate>', "peak learning rate (default: the optimizer's own, 2e-3 for muon, 1e-3 for adamw)", number({ least: 0 }))
    .option('--weight-decay <share>', 'decay of matrices', number({ least: 0, most: 1 }), 0.1)
    .option('--clip <norm>', 'largest norm of all gradients together', number({ least: 0 }), 1)
    .addOption(new Option('--schedule <name>', 'learning rate over time').choices(SCHEDULES).default('cosine'))
    .option('--warmup <steps>', 'steps of rising learning rate (default: a twentieth of all, at most 100)', whole(0))
    .option('--steps <n>', 'steps in all', whole(1), 1000)
    .option('--batch <windows>', 'windows per batch', whole(1), 8)
    .option('--context <tokens>', 'tokens per window, and the context of the model', whole(8), 256)
    .option('--accumulate <batches>', 'batches whose gradients make one step', whole(1), 1)
    .option('--tokenizer <model>', "take this checkpoint's tokenizer instead of training one")
    .option('--vocab <tokens>', 'size of a vocabulary that is trained on the data', whole(257), 2048)
    .option('--validation <share>', 'share of the data that is only used to measure', number({ least: 0, most: 0.5 }), 0.01)
    .option('--seed <n>', 'decides initial weights and the order of the data', whole(0), 0)
    .option('--save-every <steps>', 'save after so many steps', whole(1), 200)
    .option('--eval-every <steps>', 'measure the validation loss after so many steps', whole(1), 100)
    .addOption(new Option('--backend <name>', 'what computes').choices(['auto', ...backendNames]).default('auto'))
    .option('--threads <n>', 'worker threads', number({ least: 1, most: 1024, whole: true }))
    .option('--recompute', 'compute layers again on the way back: less memory, more work, the same numbers')
    .option('--resume', 'go on with the run in --out; its own settings hold')
    .option('--json', 'print each step as a line of JSON')
    .addHelpText('after', `
The run's directory is a model like any other: 'lamella run <out> "Once"' continues a text. Figures of
every step lie in metrics.jsonl. Ctrl-C saves and ends; --resume goes on with the very same numbers.

Examples:
  $ lamella train --arch llama --data stories.txt --out stories --steps 500
  $ lamella train --arch kimi_k2 --data corpus.jsonl --optimizer muonclip --out k2
  $ lamella train --out stories --resume`)
    .action(async (options: TrainCommandOptions) => {
      const interrupted = new AbortController();
      const restore = io.onInterrupt(() => interrupted.abort());
      try {
        await trainCommand(options, io, interrupted.signal);
      } finally {
        restore();
      }
      if (interrupted.signal.aborted) throw new Exit(INTERRUPTED);
    });
}

async function trainCommand(options: TrainCommandOptions, io: Io, signal: AbortSignal): Promise<void> {
  const progress = meter(io);
  const run = await openRun(options, progress.show);
  try {
    progress.end();
    if (!options.json) io.stderr.write(`${await heading(run)}\n`);
    let last: TrainingStep | undefined;
    let shown = 0;
    const started = performance.now();
    const first = run.trainer.step;
    for await (const step of run.steps(signal)) {
      last = step;
      const seconds = (performance.now() - started) / 1000;
      const left = (seconds / (step.step - first)) * (run.settings.steps - step.step);
      progress.show(line(step, run.settings.steps, left));
      const measures = step.step % options.evalEvery === 0 || step.step === run.settings.steps;
      const validationLoss = measures ? await run.validate() : undefined;
      if (options.json) io.stdout.write(`${JSON.stringify({ ...step, ...(validationLoss === undefined ? {} : { validationLoss }) })}\n`);
      else if (measures || performance.now() - shown > 10_000) {
        progress.end();
        shown = performance.now();
        io.stdout.write(`${line(step, run.settings.steps, left)}${validationLoss === undefined ? '' : `  validation loss ${validationLoss.toFixed(4)}`}\n`);
      }
      if (step.step % options.saveEvery === 0) await run.save();
    }
    progress.end();
    if (last) await run.save();
    if (!options.json) io.stderr.write(last ? `saved ${run.directory} after step ${last.step}\n` : `the run is at step ${run.trainer.step} of ${run.settings.steps} already\n`);
  } finally {
    progress.end();
    await run.dispose();
  }
}

async function openRun({ data, out, resume, backend, threads, recompute, ...options }: TrainCommandOptions, onProgress: (what: string) => void): Promise<TrainingRun> {
  const { TrainingRun: Runs } = await import('../training/index.js');
  const how = { backend, threads, onProgress, ...(recompute ? { recompute: 'layers' as const } : {}) };
  if (resume) return Runs.resume(out, how);
  if (!data) throw new UsageError('what to train on is missing: --data <files>, or --resume');
  const { arch, preset, tokenizer, vocab, optimizer, lr, weightDecay, clip, schedule, steps, batch, context, accumulate, validation, seed } = options;
  const warmup = options.warmup ?? Math.min(100, Math.ceil(steps / 20));
  return Runs.create(out, { arch, preset, data, tokenizer, vocab, optimizer, lr, weightDecay, clip, schedule, warmup, steps, batch, context, accumulate, validation, seed }, how);
}

async function heading({ model, settings, batches }: TrainingRun): Promise<string> {
  const { hiddenParameters } = await import('../models/index.js');
  const hidden = hiddenParameters(model.config);
  return `${settings.arch} ${settings.preset}: ${(hidden / 1e6).toFixed(2)}M parameters and ${model.vocabularySize} tokens; ${batches.trainingWindows} windows of ${settings.context}; ${settings.optimizer} on ${model.backend}`;
}

function line({ step, loss, learningRate, tokensPerSecond, largestScore, clippedHeads }: TrainingStep, steps: number, left: number): string {
  const scores = largestScore === undefined ? '' : `  largest score ${largestScore.toFixed(1)}${clippedHeads ? ` (${clippedHeads} heads clipped)` : ''}`;
  return `step ${step}/${steps}  loss ${loss.toFixed(4)}  lr ${learningRate.toExponential(2)}  ${Math.round(tokensPerSecond)} tok/s  ${duration(left)} left${scores}`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
