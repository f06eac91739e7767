// `lamella convert`: a checkpoint in another format, as one GGUF file or as a directory in the hub's
// form. What has the wanted name is whole: everything is written under temporary names first.

import type { Command } from 'commander';
import { Option } from 'commander';
import type { Checkpoint, GgufFormat } from '../checkpoint/index.js';
import type { Model, WeightFormat } from '../index.js';
import { bytes } from './format.js';
import { printJson, UsageError, warn } from './io.js';
import type { Io } from './io.js';
import { interruptible, share, sourceOf } from './model-command.js';
import { meter } from './progress.js';

const FORMATS = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const satisfies readonly GgufFormat[];
/** What safetensors and transformers have a plain element type for. */
const PLAIN = ['f32', 'f16', 'bf16'] as const;

type Plain = (typeof PLAIN)[number];
interface ConvertOptions { readonly weights: GgufFormat | 'stored'; readonly revision?: string; readonly force?: true; readonly json?: true }

interface Conversion {
  readonly output: string;
  readonly format: 'gguf' | 'safetensors';
  /** Of the matrices; vectors and routers may be finer. */
  readonly weights: GgufFormat;
  /** Of the file with the weights. */
  readonly bytes: number;
  /** Stored tensors that were left out. */
  readonly skipped: readonly string[];
}

export function registerConvert(program: Command, io: Io): void {
  program.command('convert')
    .description('write a model in another format: one GGUF file, or a directory with safetensors')
    .argument('<model>', 'directory, .gguf file, hub id, web address or name of a published release')
    .argument('<output>', 'a .gguf file, or a directory for config.json, model.safetensors and the tokenizer')
    .addOption(new Option('--weights <format>', 'format of the matrices; q8_0 and q4_0 for .gguf only').choices([...FORMATS, 'stored']).default('stored'))
    .option('--revision <name>', 'hub branch, tag or commit')
    .option('--force', 'overwrite what is there')
    .option('--json', 'print what was written as JSON')
    .addHelpText('after', `
A GGUF file holds the tokenizer too, and is read by llama.cpp and by lamella; vectors and routers stay
float32 in it. Its tensors are converted one at a time; for a directory the model is loaded whole.
Stored tensors that have no place in the output (vision towers, masks, tied heads) are named. The
output gets its name when it is complete: Ctrl-C leaves nothing behind.

Examples:
  $ lamella convert ./my-model my-model-q8_0.gguf --weights q8_0
  $ lamella convert Qwen/Qwen3-0.6B qwen3.gguf --weights q4_0
  $ lamella convert model.gguf ./model --weights bf16 --json`)
    .action(async (model: string, output: string, options: ConvertOptions) => {
      const result = await interruptible(io, (signal) => convert(model, output, options, io, signal));
      if (result.skipped.length > 0) warn(io, skippedText(result.skipped));
      if (options.json) printJson(io, result);
      else io.stdout.write(`${result.output}: ${bytes(result.bytes)}, weights in ${result.weights}\n`);
    });
}

const MOST_NAMES = 12;

function skippedText(names: readonly string[]): string {
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more (--json lists them)` : '';
  return `${names.length} stored tensor${names.length === 1 ? ' has' : 's have'} no place in the output: ${names.slice(0, MOST_NAMES).join(', ')}${more}`;
}

async function convert(name: string, output: string, options: ConvertOptions, io: Io, signal: AbortSignal): Promise<Conversion> {
  const gguf = /\.gguf$/i.test(output);
  if (!gguf) checkPlain(output, options.weights);
  await checkFree(output, gguf ? 'file' : 'directory', options.force === true);
  const source = await sourceOf(name);
  return gguf ? toGguf(source, output, options, io, signal) : toDirectory(source, output, options, io, signal);
}

function checkPlain(output: string, weights: GgufFormat | 'stored'): void {
  if (/\.(safetensors|bin|pth?|json)$/i.test(output)) throw new UsageError(`${output} is neither a .gguf file nor a directory: give a directory, which gets config.json and model.safetensors`);
  if (weights === 'stored' || (PLAIN as readonly string[]).includes(weights)) return;
  throw new UsageError(`safetensors cannot hold ${weights}: give the output a name that ends in .gguf, or --weights ${PLAIN.join(', ')}`);
}

/** Refuses to overwrite anything, an empty directory excepted, unless told to. */
async function checkFree(output: string, wanted: 'file' | 'directory', force: boolean): Promise<void> {
  const { readdir, stat } = await import('node:fs/promises');
  const found = await stat(output).catch(() => undefined);
  if (!found) return;
  if (found.isDirectory() !== (wanted === 'directory')) throw new Error(`${output} is a ${found.isDirectory() ? 'directory' : 'file'}, and a ${wanted} is to be written: give another name`);
  if (force || (wanted === 'directory' && (await readdir(output)).length === 0)) return;
  throw new Error(`${output} ${wanted === 'file' ? 'exists' : 'has files in it'}: give another name, or --force to overwrite`);
}

/** Makes a folder, runs `body`, and removes again what it made when that fails. */
async function inFolder<T>(path: string, body: () => Promise<T>): Promise<T> {
  const { mkdir, rm } = await import('node:fs/promises');
  const made = await mkdir(path, { recursive: true });
  try {
    return await body();
  } catch (error) {
    // All that is in it is ours: it was not there before.
    if (made !== undefined) await rm(made, { recursive: true, force: true });
    throw error;
  }
}

async function toGguf(source: string, output: string, { weights, revision }: ConvertOptions, io: Io, signal: AbortSignal): Promise<Conversion> {
  const { convertToGguf, openCheckpoint, resolveSource } = await import('../checkpoint/index.js');
  const { platform } = await import('../platform/index.js');
  const { basename, dirname } = await import('node:path');
  const progress = meter(io);
  const directory = await resolveSource(source, { signal, revision, onProgress: (p) => progress.show(`downloading ${p.file}: ${share(p.loaded, p.total)}`) });
  const checkpoint = await openCheckpoint(directory, { signal });
  try {
    const format = weights === 'stored' ? await storedFormat(checkpoint) : weights;
    const { stream, skipped } = convertToGguf(checkpoint, { format, tokenizer: await tokenizerOf(checkpoint, io) });
    await inFolder(dirname(output), async () => {
      const writer = await (await platform()).files!.writeDirectory(dirname(output));
      try {
        await writer.write(basename(output), watched(stream, signal, (done) => progress.show(`writing ${share(done, stream.byteLength)}`)));
        await writer.commit();
      } catch (error) {
        await writer.discard();
        throw error;
      }
    });
    return { output, format: 'gguf', weights: format, bytes: stream.byteLength, skipped };
  } finally {
    progress.end();
    await checkpoint.close();
  }
}

async function* watched(stream: AsyncIterable<Uint8Array>, signal: AbortSignal, seen: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of stream) {
    signal.throwIfAborted();
    yield chunk;
    seen(done += chunk.length);
  }
  // An interrupt during the last chunk is one too: the rename has not happened yet.
  signal.throwIfAborted();
}

async function tokenizerOf(checkpoint: Checkpoint, io: Io) {
  const { ggufTokenizerMetadata } = await import('../tokenizer/index.js');
  const { textFiles } = await import('../tokenizer/source.js');
  const text = (checkpoint.config.text_config ?? {}) as Record<string, unknown>;
  const rows = Number(checkpoint.config.vocab_size ?? text.vocab_size ?? 0);
  const tokenizer = await ggufTokenizerMetadata(textFiles(checkpoint.directory), rows);
  if (!tokenizer) warn(io, `${checkpoint.name} has no tokenizer: the file will take token ids only, and llama.cpp will not load it`);
  return tokenizer;
}

/** The type of most numbers in matrices, as a file holds them. */
async function dominantType({ directory, tensors }: Checkpoint): Promise<string> {
  const { isGgufDirectory } = await import('../checkpoint/index.js');
  const counts = new Map<string, number>();
  // A GGUF checkpoint shows blocks that had to be taken apart as float32; its file says what they are.
  for (const { shape, dtype } of (isGgufDirectory(directory) ? directory.gguf.tensors : tensors).values()) {
    if (shape.length > 1) counts.set(dtype, (counts.get(dtype) ?? 0) + shape.reduce((a, b) => a * b, 1));
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'F32';
}

async function storedFormat(checkpoint: Checkpoint): Promise<GgufFormat> {
  const type = await dominantType(checkpoint);
  const format = FORMATS.find((each) => each === type.toLowerCase());
  if (format) return format;
  throw new Error(`${checkpoint.name}: the weights are stored as ${type}, which lamella cannot write into GGUF: choose one of --weights ${FORMATS.join(', ')}`);
}

async function toDirectory(source: string, output: string, options: ConvertOptions, io: Io, signal: AbortSignal): Promise<Conversion> {
  const { savedType } = await import('../engine/save.js');
  const { stat } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const progress = meter(io);
  try {
    const { model, stored } = await loadWhole(source, options, io, signal, progress.show);
    try {
      const weights = savedType(model.engine.decoder);
      checkWritten(weights, options.weights, stored, io);
      await watchReads(model, signal, (done, total) => progress.show(`writing ${Math.floor((100 * done) / total)} % of the tensors`));
      await inFolder(output, () => model.save(output));
      return { output, format: 'safetensors', weights, bytes: (await stat(join(output, 'model.safetensors'))).size, skipped: model.skippedTensors };
    } finally {
      await model.dispose();
    }
  } finally {
    progress.end();
  }
}

/** The model in plain memory, where no backend's limits apply, and the type that it was stored in. */
async function loadWhole(source: string, { weights, revision }: ConvertOptions, io: Io, signal: AbortSignal, show: (text: string) => void): Promise<{ model: Model; stored: string }> {
  const { openCheckpoint, resolveSource } = await import('../checkpoint/index.js');
  const { loadModel } = await import('../index.js');
  const directory = await resolveSource(source, { signal, revision, onProgress: (p) => show(`downloading ${p.file}: ${share(p.loaded, p.total)}`) });
  const checkpoint = await openCheckpoint(directory, { signal });
  const stored = await dominantType(checkpoint);
  await checkpoint.close();
  const model = await loadModel(source, {
    // The loader encodes every plain type, bf16 too, though its option does not list it.
    backend: 'reference', weights: weights as WeightFormat, revision, signal,
    onWarning: (message) => warn(io, message),
    onProgress: (p) => { if (p.phase === 'load') show(`loading ${share(p.loaded, p.total)}`); },
  });
  return { model, stored };
}

/** One file has one type: says so where that is not the one that was asked for. */
function checkWritten(written: Plain, wanted: GgufFormat | 'stored', stored: string, io: Io): void {
  if (wanted === 'stored') {
    if (stored.toLowerCase() !== written) warn(io, `the weights are stored as ${stored}${(PLAIN as readonly string[]).includes(stored.toLowerCase()) ? ' and other types' : ', which safetensors has no plain type for'}: they are written as ${written}`);
    return;
  }
  if (written !== wanted) throw new Error(`routers keep the type that they are stored in, and a saved model has one type: write this one with --weights f32 or stored, or as a .gguf file`);
}

/** `save` neither tells how far it is nor stops; but whatever it writes it reads from the backend. */
async function watchReads({ engine }: Model, signal: AbortSignal, seen: (done: number, total: number) => void): Promise<void> {
  const { storedParts } = await import('../engine/index.js');
  const { backend } = engine.device;
  const total = [...storedParts(engine.decoder).values()].reduce((sum, parts) => sum + parts.length, 0);
  const read = backend.read.bind(backend);
  let done = 0;
  backend.read = (buffer, offset, byteCount) => {
    signal.throwIfAborted();
    seen(++done, total);
    return read(buffer, offset, byteCount);
  };
}
