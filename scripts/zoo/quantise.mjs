// Makes one GGUF file of each sibling that siblings.mjs trained: its tokenizer, and its matrices in
// 4 bits, the embedding table (the head too) among them unless it is to be finer.
//
//   node scripts/zoo/quantise.mjs --run zoo-run [--optimizer muon] [--format q4_0] [--embeddings q4_0] [--zoo zoo]

import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { convertToGguf, openCheckpoint, resolveSource } from '../../dist/checkpoint/index.js';
import { ggufTokenizerMetadata } from '../../dist/tokenizer/index.js';
import { textFiles } from '../../dist/tokenizer/source.js';
import { SIBLINGS } from './siblings.mjs';

async function writeSibling(directory, path, { name, ...formats }) {
  const checkpoint = await openCheckpoint(await resolveSource(directory));
  try {
    const tokenizer = await ggufTokenizerMetadata(textFiles(checkpoint.directory), checkpoint.config.vocab_size);
    const { stream } = convertToGguf(checkpoint, { ...formats, tokenizer, name });
    await pipeline(Readable.from(stream), createWriteStream(path));
  } finally {
    await checkpoint.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: {
    run: { type: 'string', default: 'zoo-run' }, optimizer: { type: 'string', default: 'muon' }, zoo: { type: 'string', default: 'zoo' },
    format: { type: 'string', default: 'q4_0' }, embeddings: { type: 'string' },
  } });
  const { run, optimizer, zoo, format, embeddings } = values;
  mkdirSync(zoo, { recursive: true });
  for (const arch of SIBLINGS) {
    const directory = join(run, `${arch}-${optimizer}`);
    // A sibling that was not finished has no weights.
    if (existsSync(join(directory, 'model.safetensors'))) await writeSibling(directory, join(zoo, `${arch}.gguf`), { name: `zoo ${arch}`, format, embeddings });
  }
}
