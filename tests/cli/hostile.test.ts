// Weight files made to mislead, at the command line: one clear line that names the file, exit code
// 1, whether a model is run or only inspected.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lamella, tinyModel } from './helpers.js';

/** A safetensors file with this header text, `claimed` as its length, and so many bytes of data. */
function weights(header: string, { claimed = BigInt(Buffer.byteLength(header)), data = 64 } = {}): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed);
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(data)]);
}
const entry = (start: number, end: number) => ({ dtype: 'F32', shape: [(end - start) / 4], data_offsets: [start, end] });

const files: readonly (readonly [string, Buffer, RegExp])[] = [
  ['a header that claims more than the file', weights('{}', { claimed: 1000n }), /its header needs 1008 bytes, the file has 74/],
  ['a header of 4 GB', weights('{}', { claimed: 4_294_967_296n }), /claims a header of 4294967296 bytes/],
  ['a header of 2^63 bytes', weights('{}', { claimed: 2n ** 63n }), /claims a header of 9223372036854776000 bytes/],
  ['overlapping offsets', weights(JSON.stringify({ a: entry(0, 40), b: entry(32, 64) })), /tensor "b" overlaps/],
  ['offsets behind the end', weights(JSON.stringify({ a: entry(0, 4096) })), /tensor "a" ends at byte 4096/],
  ['a shape that its bytes do not hold', weights(JSON.stringify({ a: { dtype: 'F32', shape: [1e9, 1e9], data_offsets: [0, 64] } })), /tensor "a" has the shape \[1000000000,1000000000\]/],
  ['a header that is no JSON', weights('{"a": '), /not valid JSON/],
  ['nothing at all', Buffer.alloc(0), /has 0 bytes/],
];

describe('a weight file with', () => {
  for (const [what, bytes, message] of files) it(what, async () => {
    const folder = tinyModel();
    writeFileSync(join(folder, 'model.safetensors'), bytes);
    for (const argv of [['run', folder, 'Hello'], ['inspect', folder]]) {
      const { code, out, err } = await lamella(...argv);
      expect(code, argv[0]).toBe(1);
      expect(out).toBe('');
      expect(err).toMatch(/^lamella: .*model\.safetensors/);
      expect(err).toMatch(message);
      expect(err.trimEnd().split('\n')).toHaveLength(1);
    }
  });
});

it('a real header before 4 GB of nothing is inspected without reading it', async () => {
  const folder = tinyModel();
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  const size = 4 * 2 ** 30;
  const header = JSON.stringify({ huge: { dtype: 'U8', shape: [size], data_offsets: [0, size] } });
  writeSync(file, weights(header, { data: 0 }));
  writeSync(file, Buffer.alloc(1), 0, 1, 8 + Buffer.byteLength(header) + size - 1);
  closeSync(file);
  const { code, err } = await lamella('inspect', folder);
  expect(code).toBe(1);
  expect(err).toMatch(/no tensor 'model\.embed_tokens\.weight'/);
});
