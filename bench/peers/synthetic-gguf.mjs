// A GGUF file (or a checkpoint of the hub's form) of a published shape with made-up weights, written by this
// package's own writers, so that every program measured on it reads the same bytes. The vocabulary is made up too: bytes and fillers.

import { dirname, basename, resolve } from 'node:path';
import { fromDist } from './dist.mjs';

/** Writes the file; the config's layers are as many as they are in it. Holds one pattern, never the weights. */
export async function writeSyntheticGguf(path, config, name, format) {
  const { convertToGguf } = await fromDist('checkpoint/index.js');
  const { buildModel } = await fromDist('models/index.js');
  const { decoder } = buildModel(config);
  const tensors = await storedTensors(decoder, path, format);
  const { stream } = convertToGguf({ name, config, tensors }, { format, tokenizer: madeUpTokenizer(decoder.frame.vocab), name });
  await writeFiles(dirname(resolve(path)), [[basename(path), stream]]);
}

/** Writes config.json and model.safetensors, without a tokenizer, into a folder. */
export async function writeSyntheticCheckpoint(folder, config, format) {
  const { writeSafetensors } = await fromDist('checkpoint/index.js');
  const { buildModel } = await fromDist('models/index.js');
  const tensors = await storedTensors(buildModel(config).decoder, 'model.safetensors', format);
  const pieces = ({ byteLength, readRange }) => async function* () {
    for (let at = 0; at < byteLength; at += PIECE) yield await readRange(at, Math.min(PIECE, byteLength - at));
  };
  const stream = writeSafetensors([...tensors.values()].map((tensor) => ({ ...tensor, data: () => pieces(tensor)() })));
  await writeFiles(resolve(folder), [['config.json', Buffer.from(JSON.stringify(config))], ['model.safetensors', stream]]);
}

const PIECE = 16 * 2 ** 20;

/** Writes files under their names once all are complete: `files` is [name, content][]. */
export async function writeFiles(folder, files) {
  const { platform } = await fromDist('platform/index.js');
  const writer = await (await platform()).files.writeDirectory(folder);
  try {
    for (const [name, content] of files) await writer.write(name, content);
    await writer.commit();
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

/** Numbers in a pattern: more than any row, a multiple of no power-of-two row. */
const PATTERN = 255 * 32 * 128;

/** The model's weights as a checkpoint would hold them: one pattern for every width, each tensor at another place in it. */
async function storedTensors(decoder, file, format) {
  const { storedParts } = await fromDist('engine/index.js');
  const { encodeFloat32 } = await fromDist('checkpoint/encode.js');
  const { elementBytes, fitsBlocks } = await fromDist('tensor/index.js');
  const patterns = new Map();
  const patternOf = (dtype, deviation) => {
    const key = `${dtype}/${deviation}`;
    if (!patterns.has(key)) patterns.set(key, encodeFloat32(dtype, noise(PATTERN, deviation * Math.sqrt(3))));
    return patterns.get(key);
  };
  let seed = 0;
  return new Map([...storedParts(decoder)].map(([name, [{ parameter, piece: { shape } }]]) => {
    const columns = shape.at(-1);
    const dtype = shape.length < 2 || parameter.precise || !fitsBlocks(format, columns) ? 'f32' : format;
    const byteLength = elementBytes({ shape, dtype });
    // Keeps activations near one through any depth. A table's rows must not drown in what all tokens share,
    // or routers would choose the same experts for every token.
    const deviation = /^embed/.test(parameter.path) ? 1 : 1 / Math.sqrt(columns);
    const start = (seed++ * 8191 * 32) % PATTERN;
    const readRange = async (offset, length) => {
      const out = new Uint8Array(length);
      if (shape.length < 2) return new Uint8Array(new Float32Array(length / 4).fill('constant' in parameter.init ? parameter.init.constant : 0).buffer);
      const pattern = patternOf(dtype, deviation);
      let at = (elementBytes({ shape: [start], dtype }) + offset) % pattern.length;
      for (let done = 0; done < length; at = 0) {
        const piece = pattern.subarray(at, at + length - done);
        out.set(piece, done);
        done += piece.length;
      }
      return out;
    };
    return [name, { name, dtype: dtype.toUpperCase(), shape, file, byteLength, read: () => readRange(0, byteLength), readRange }];
  }));
}

/** Uniform numbers up to `most`, the same every time. */
function noise(count, most) {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state / 0x40000000 - 1) * most;
  });
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
