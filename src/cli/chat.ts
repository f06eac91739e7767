// A chat in the terminal. The history goes back to the model with every turn; a model without a chat
// template goes on writing one text together with the user.

import { createInterface } from 'node:readline';
import type { ChatMessage, GenerateOptions, Model } from '../index.js';
import { oneLine } from './io.js';
import type { Io } from './io.js';

interface ChatOptions {
  readonly io: Io;
  /** Continue texts though there is a chat template. */
  readonly raw: boolean;
}

/** Runs until /exit, or Ctrl-C or Ctrl-D at the prompt. */
export async function chat(model: Model, generate: GenerateOptions, { io, raw }: ChatOptions): Promise<void> {
  const talk = model.tokenizer?.chatTemplate && !raw ? dialogue(model, generate) : manuscript(model, generate);
  const lines = lineReader(io);
  io.stderr.write(`${model.name}, ${talk.mode}. /reset forgets, /exit ends, Ctrl-C stops an answer.\n`);
  try {
    for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
      if (line === '/exit') return;
      if (line === '/reset') talk.reset();
      else if (/^\/\w*$/.test(line)) io.stderr.write('there are two commands: /reset and /exit\n');
      else if (line.trim() !== '') await turn(talk, line, lines, io);
    }
  } finally {
    lines.close();
  }
}

/** One exchange; what goes wrong is said, and the chat goes on without it. */
async function turn(talk: Talk, line: string, lines: LineReader, io: Io): Promise<void> {
  const stop = new AbortController();
  const release = lines.onInterrupt(() => stop.abort());
  try {
    for await (const text of talk.answer(line, stop.signal)) io.stdout.write(text);
    io.stdout.write('\n');
  } catch (error) {
    io.stderr.write(`lamella: ${oneLine(error instanceof Error ? error.message : String(error))}\n`);
  } finally {
    release();
  }
}

interface Talk {
  readonly mode: string;
  /** The answer as it comes. A turn that fails leaves no trace, one that is stopped keeps what was said. */
  answer(line: string, signal: AbortSignal): AsyncGenerator<string>;
  reset(): void;
}

function dialogue(model: Model, options: GenerateOptions): Talk {
  let history: readonly ChatMessage[] = [];
  return {
    mode: 'chat',
    async *answer(line, signal) {
      const asked = [...history, { role: 'user', content: line }];
      let content = '';
      for await (const { text } of model.generate(asked, { ...options, signal })) {
        content += text;
        yield text;
      }
      history = [...asked, { role: 'assistant', content }];
    },
    reset: () => { history = []; },
  };
}

function manuscript(model: Model, options: GenerateOptions): Talk {
  let written = '';
  return {
    mode: 'which continues what you write',
    async *answer(line, signal) {
      let text = written + line;
      for await (const piece of model.generate(text, { ...options, signal })) {
        text += piece.text;
        yield piece.text;
      }
      written = `${text}\n`;
    },
    reset: () => { written = ''; },
  };
}

interface LineReader {
  /** Shows the prompt; undefined at the end of input. */
  next(): Promise<string | undefined>;
  /** What Ctrl-C does from now on; the result gives it back to ending the input. */
  onInterrupt(act: () => void): () => void;
  close(): void;
}

/** Lines of a terminal. Those typed during an answer wait for their turn. */
function lineReader(io: Io): LineReader {
  const reader = createInterface({ input: io.stdin, output: io.stdout, terminal: true, prompt: '> ' });
  const waiting: string[] = [];
  let wanted: ((line: string | undefined) => void) | undefined;
  let closed = false;
  let interrupt: (() => void) | undefined;
  const give = (line: string | undefined) => {
    const taker = wanted;
    wanted = undefined;
    if (taker) taker(line);
    else if (line !== undefined) waiting.push(line);
  };
  const onInterrupt = () => {
    if (interrupt) return interrupt();
    io.stdout.write('\n');
    reader.close();
  };
  reader.on('line', give);
  reader.on('SIGINT', onInterrupt);
  const restore = io.onInterrupt(onInterrupt);
  reader.on('close', () => { closed = true; restore(); give(undefined); });
  return {
    next: () => new Promise((resolve) => {
      if (waiting.length > 0) return resolve(waiting.shift());
      if (closed) return resolve(undefined);
      wanted = resolve;
      reader.prompt();
    }),
    onInterrupt(act) {
      interrupt = act;
      return () => { interrupt = undefined; };
    },
    close: () => reader.close(),
  };
}
