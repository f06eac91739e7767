// `lamella story`: a children's story, told by one of the small siblings that come with the package.
// What `npm start` does: it needs no download and no network.

import type { Command } from 'commander';
import type { Model, Piece } from '../index.js';
import { short } from './format.js';
import { Exit, INTERRUPTED, printJson } from './io.js';
import type { Io } from './io.js';
import { interruptible } from './model-command.js';
import { number } from './options.js';

/** The sibling that predicted unseen stories best (zoo/results.json). */
const STORYTELLER = 'zoo:gemma3';
const BEGINNING = 'Once upon a time';
/** Small models wander off when drawn from freely: likelier tokens only. */
const SAMPLING = { temperature: 0.7, minP: 0.1 };
/** Any number will do: it is printed, so that a story can be told again. */
const SEEDS = 10_000;

interface StoryOptions { readonly model: string; readonly seed?: number; readonly json?: true }

interface Story {
  readonly model: string;
  readonly family: string;
  readonly parameters: number;
  readonly seed: number;
  readonly text: string;
  readonly tokens: number;
  /** Null for a story of one token. */
  readonly tokensPerSecond: number | null;
  readonly finishReason: string;
}

export function registerStory(program: Command, io: Io): void {
  program.command('story')
    .description('tell a story with a small model that comes with lamella; no download')
    .argument('[beginning]', 'how the story begins', BEGINNING)
    .option('--model <name>', 'who tells it: zoo:gpt2, zoo:deepseek_v3, … or any other model', STORYTELLER)
    .option('--seed <n>', 'same seed, same story (default: a new one each time)', number({ least: 0, most: 2 ** 32 - 1, whole: true }))
    .option('--json', 'print the story and its figures as JSON when done')
    .addHelpText('after', `
The siblings of the zoo are one design each, from GPT-2 to Kimi K2, with about 1.75 million parameters:
big enough for a story of a few sentences that mostly makes sense, and for nothing else. Only the story
goes to standard output.

Examples:
  $ lamella story
  $ lamella story "Tom had a red boat." --model zoo:gpt2 --seed 7`)
    .action(async (beginning: string, options: StoryOptions) => {
      const story = await interruptible(io, (signal) => tell(beginning, options, io, signal));
      if (options.json) printJson(io, story);
      else io.stderr.write(`\n${epilogue(story)}\n`);
    });
}

async function tell(beginning: string, { model: name, seed = Math.floor(Math.random() * SEEDS), json }: StoryOptions, io: Io, signal: AbortSignal): Promise<Story> {
  const [{ loadModel }, { describe }] = await Promise.all([import('../index.js'), import('../analysis/index.js')]);
  const { parameters } = await describe(name);
  // Threads would cost such a model more than they bring.
  const model = await loadModel(name, { threads: name.startsWith('zoo:') ? 1 : undefined, signal });
  try {
    if (!json) io.stderr.write(`${model.name}, a model of ${short(parameters.total)} parameters with the design of ${model.family}, tells:\n\n`);
    const write = (text: string): void => { if (!json) io.stdout.write(text); };
    return { model: model.name, family: model.family, parameters: parameters.total, seed, ...await stream(model, beginning, seed, write, signal) };
  } finally {
    await model.dispose();
  }
}

async function stream(model: Model, beginning: string, seed: number, write: (text: string) => void, signal: AbortSignal): Promise<Pick<Story, 'text' | 'tokens' | 'tokensPerSecond' | 'finishReason'>> {
  write(beginning);
  let [text, tokens, first, last] = [beginning, 0, 0, 0];
  const take = (piece: Piece): void => {
    last = performance.now();
    if (tokens++ === 0) first = last;
    text += piece.text;
    write(piece.text);
  };
  const pieces = model.generate(beginning, { ...SAMPLING, seed, signal });
  let next = await pieces.next();
  for (; !next.done; next = await pieces.next()) take(next.value);
  write('\n');
  if (signal.aborted) throw new Exit(INTERRUPTED);
  return { text, tokens, tokensPerSecond: last > first ? (1000 * (tokens - 1)) / (last - first) : null, finishReason: next.value };
}

function epilogue({ model, seed, tokens, tokensPerSecond }: Story): string {
  const speed = tokensPerSecond === null ? '' : `, ${Math.round(tokensPerSecond)} per second`;
  return [
    `${tokens} tokens${speed}; seed ${seed}. Next:`,
    `  npm start -- story "The little dragon" --model ${model === 'zoo:gpt2' ? 'zoo:deepseek_v3' : 'zoo:gpt2'}`,
    '  npm start -- compare                       nine designs side by side, from GPT-2 to Kimi K2',
    `  npm start -- inspect ${model}`,
    '  npm start -- --help',
  ].join('\n');
}
