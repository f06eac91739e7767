// Puts the commands together, runs one, and turns whatever it throws into an exit code: 0, 1 for a
// failure with a one-line reason, 2 for wrong usage, 130 after Ctrl-C.
//
// Command files import nothing heavy; what a command needs it loads when it runs.

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { registerBench } from './bench.js';
import { registerCompare } from './compare.js';
import { registerConvert } from './convert.js';
import { registerDiagram } from './diagram.js';
import { registerDoctor } from './doctor.js';
import { registerEval } from './eval.js';
import { registerInspect } from './inspect.js';
import { Exit, oneLine, processIo, UsageError } from './io.js';
import type { Io } from './io.js';
import { registerPlan } from './plan.js';
import { registerRun } from './run.js';
import { registerStory } from './story.js';
import { registerTrain } from './train.js';

const FAILURE = 1;
const WRONG_USAGE = 2;

/** Runs the command line on its arguments; resolves to the exit code. */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  try {
    await program(io).parseAsync(argv as string[], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof Exit) return error.code;
    // Commander has said what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
    io.stderr.write(`lamella: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
    if (io.environment.LAMELLA_DEBUG === '1' && error instanceof Error) io.stderr.write(`${fullStack(error)}\n`);
    return error instanceof UsageError ? WRONG_USAGE : FAILURE;
  }
}

function program(io: Io): Command {
  const lamella = new Command('lamella')
    .description('Runs open LLM architectures from their published checkpoints, and shows what each design costs.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'lamella: ').replace(/\n\(/, ' (')),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    });
  for (const register of [registerRun, registerStory, registerInspect, registerCompare, registerDiagram, registerPlan, registerTrain, registerConvert, registerEval, registerBench, registerDoctor]) register(lamella, io);
  lamella.addHelpText('after', `
A model is a directory in the hub's format, a .safetensors or .gguf file, a hub id (owner/name), a
web address, the name of a published release (qwen3-0.6b, gemma-3-27b, deepseek-v3, …), or one of
the small siblings that come with lamella: zoo:gpt2, zoo:olmo2, zoo:gemma3, zoo:mistral, zoo:llama4,
zoo:qwen3, zoo:qwen3_moe, zoo:smollm3, zoo:deepseek_v3, zoo:kimi_k2.

Examples:
  $ lamella story                                   a story, without a download
  $ lamella run HuggingFaceTB/SmolLM3-3B            chat in the terminal
  $ lamella run ./stories15M "Once upon a time"     continue a text
  $ lamella compare gpt2-xl deepseek-v3 kimi-k2     the figures side by side
  $ lamella inspect ./my-model --json               everything about one model
  $ lamella plan --hardware rtx-4090                which models a machine can run, and how fast
  $ lamella train --arch qwen3 --data stories.txt   a small model from scratch
  $ lamella doctor                                  what this machine can run

Exit codes: 0, 1 for a failure (one line on stderr says why), 2 for wrong usage, 130 after Ctrl-C.
LAMELLA_DEBUG=1 adds the stack to an error.`);
  return lamella;
}

function version(): string {
  const { version: found } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return found;
}

function fullStack(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${fullStack(error.cause)}` : '';
  return `${error.stack}${cause}`;
}
