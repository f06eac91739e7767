// A GGUF file of a published shape with made-up weights, written by this package's own writer, so that
// every program measured on it reads the same bytes. The vocabulary is made up too: bytes and fillers.

import { dirname, basename, resolve } from 'node:path';
import { fromDist } from './dist.mjs';

/** Writes the file; the config's layers are as many as they are in it. */
export async function writeSyntheticGguf(path, config, name, format) {
  const { syntheticEngine } = await fromDist('engine/synthetic.js');
  const { createBackend } = await fromDist('engine/index.js');
  const { convertToGguf } = await fromDist('checkpoint/index.js');
  const engine = await syntheticEngine(config, await createBackend('reference'), format);
  try {
    const tensors = await storedTensors(engine.decoder, path);
    const tokenizer = madeUpTokenizer(engine.decoder.frame.vocab);
    const { stream } = convertToGguf({ name, config, tensors }, { format, tokenizer, name });
    await writeWhole(path, stream);
  } finally {
    engine.dispose();
  }
}

/** Writes a stream under its name once it is complete. */
export async function writeWhole(path, stream) {
  const { platform } = await fromDist('platform/index.js');
  const writer = await (await platform()).files.writeDirectory(dirname(resolve(path)));
  try {
    await writer.write(basename(path), stream);
    await writer.commit();
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

/** The model's weights as a checkpoint would hold them; the last one read stays decoded. */
async function storedTensors(decoder, file) {
  const { assemble, storedParts } = await fromDist('engine/index.js');
  const { byteLength, View } = await fromDist('tensor/index.js');
  const numbers = async ({ tensor: { device, spec, storage } }) => new View(spec, await device.backend.read(storage.id, 0, byteLength(spec))).toFloat32();
  let last = {};
  const bytesOf = async (name, parts, shape) => {
    if (last.name !== name) last = { name, values: await assemble(parts, shape, numbers) };
    return new Uint8Array(last.values.buffer, last.values.byteOffset, last.values.byteLength);
  };
  return new Map([...storedParts(decoder)].map(([name, parts]) => {
    const { shape } = parts[0].piece;
    const read = () => bytesOf(name, parts, shape);
    const readRange = async (offset, length) => (await read()).slice(offset, offset + length);
    return [name, { name, dtype: 'F32', shape, file, byteLength: 4 * shape.reduce((a, b) => a * b, 1), read, readRange }];
  }));
}

const strings = (values) => ({ type: 'array', of: 'string', values });

/** What llama.cpp wants to see before it loads a model: 256 bytes, some merges, fillers, an end. */
export function madeUpTokenizer(vocabulary) {
  const tokens = byteCharacters();
  const merges = [];
  for (const a of 'abcdefghij') for (const b of 'klmnop') {
    if (tokens.length >= vocabulary - 1) break;
    merges.push(`${a} ${b}`);
    tokens.push(a + b);
  }
  while (tokens.length < vocabulary - 1) tokens.push(`[FILLER${tokens.length}]`);
  tokens.push('<|endoftext|>');
  const end = { type: 'uint32', value: vocabulary - 1 };
  return [
    ['tokenizer.ggml.model', 'gpt2'], ['tokenizer.ggml.pre', 'gpt-2'], ['tokenizer.ggml.tokens', strings(tokens)], ['tokenizer.ggml.merges', strings(merges)],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: tokens.map((_, id) => (id === vocabulary - 1 ? 3 : 1)) }],
    ['tokenizer.ggml.bos_token_id', end], ['tokenizer.ggml.eos_token_id', end], ['tokenizer.ggml.add_bos_token', false],
  ];
}

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteCharacters() {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : next++);
  });
}
