// The worker that runs a model for a page: one model, until the page ends the worker. A script of its own
// that `page.ts` starts; it exports nothing.

import { loadModel } from '../model.js';
import type { LoadOptions, Model } from '../model.js';
import type { FinishReason, Piece } from '../generate/index.js';
import { plainError } from './protocol.js';
import type { Call, FromWorker, LoadedFacts, PageSource, Sendable, ToWorker } from './protocol.js';

let model: Model | undefined;
const generators = new Map<number, { readonly pieces: AsyncGenerator<Piece, FinishReason>; readonly controller: AbortController }>();

const send = (message: FromWorker, transfer: Transferable[] = []): void => self.postMessage(message, { transfer });

self.onmessage = ({ data }: MessageEvent<ToWorker>): void => {
  if (data.method === 'abort') abort(data.generator);
  else void answer(data);
};

/** What was asked is still answered; a generator that waits to be asked ends here, and gives its pages back. */
function abort(id: number): void {
  const generator = generators.get(id);
  generators.delete(id);
  generator?.controller.abort();
  generator?.pieces.return('aborted').catch(() => undefined);
}

async function answer(call: Call & { readonly id: number }): Promise<void> {
  try {
    const { value, transfer } = await perform(call);
    send({ kind: 'result', id: call.id, value }, transfer);
  } catch (error) {
    send({ kind: 'failure', id: call.id, error: plainError(error) });
  }
}

async function perform(call: Call & { readonly id: number }): Promise<{ value?: unknown; transfer?: Transferable[] }> {
  switch (call.method) {
    case 'load': return { value: await load(call.source, call.options) };
    case 'logits': {
      const value = await model!.logits(call.ids);
      return { value, transfer: [value.data.buffer] };
    }
    case 'trace': {
      const value = await model!.trace(call.ids, { capture: call.capture });
      return { value, transfer: [...new Set([...value.values()].map(({ data }) => data.buffer))] };
    }
    case 'generate': {
      const controller = new AbortController();
      generators.set(call.id, { controller, pieces: model!.generate(call.prompt, { ...call.options, signal: controller.signal }) });
      return {};
    }
    case 'next': return { value: await next(call.generator) };
    default: return call satisfies never;
  }
}

async function load(source: PageSource, options: Sendable<LoadOptions>): Promise<LoadedFacts> {
  model = await loadModel(source, {
    ...options,
    onProgress: (progress) => send({ kind: 'progress', progress }),
    onWarning: (message) => send({ kind: 'warning', message }),
  });
  const { name, family, backend, threads, config, contextLength, vocabularySize, skippedTensors, endTokens, tokenizer } = model;
  const tokenizerFiles = await tokenizer?.originalFiles();
  return { name, family, backend, threads, config, contextLength, vocabularySize, skippedTensors, endTokens, tokenizerFiles };
}

/** A generator answers in order, so that the page may ask for several pieces at once. */
async function next(id: number): Promise<IteratorResult<Piece, FinishReason>> {
  const generator = generators.get(id);
  // It was aborted, or ended while the page was asking ahead.
  if (!generator) return { done: true, value: 'aborted' };
  try {
    const result = await generator.pieces.next();
    if (result.done) generators.delete(id);
    return result;
  } catch (error) {
    generators.delete(id);
    throw error;
  }
}
