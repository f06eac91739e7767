// Where a GGUF file may come from: a path, its folder, a web server, the hub, a file picker. And what
// opening one as a checkpoint refuses.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isGgufDirectory, openCheckpoint, openGguf, openHubRepository, resolveSource, toFloat32, writeGguf } from '../../src/checkpoint/index.js';
import type { CheckpointSource, WritableValue } from '../../src/checkpoint/index.js';
import { fakeHub } from './fake-hub.js';
import { collect, expectRefusal, folder } from './helpers.js';

const uint32 = (value: number): WritableValue => ({ type: 'uint32', value });
const float32 = (value: number): WritableValue => ({ type: 'float32', value });
const base: Record<string, WritableValue> = {
  'general.architecture': 'llama', 'llama.block_count': uint32(1), 'llama.context_length': uint32(64), 'llama.embedding_length': uint32(8), 'llama.feed_forward_length': uint32(16),
  'llama.attention.head_count': uint32(2), 'llama.attention.layer_norm_rms_epsilon': float32(1e-5),
};
const table = Float32Array.from({ length: 24 }, (_, i) => i);
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer);
interface Parts { metadata?: Record<string, WritableValue | undefined>; tensors?: { name: string; shape: number[] }[] }

/** A model of one layer of which only the tensors that a test looks at are there. */
function tiny({ metadata = {}, tensors = [{ name: 'token_embd.weight', shape: [3, 8] }] }: Parts = {}): Promise<Uint8Array> {
  const entries = Object.entries({ ...base, ...metadata }).filter((entry): entry is [string, WritableValue] => entry[1] !== undefined);
  return collect(writeGguf(entries, tensors.map(({ name, shape }) => ({ name, shape, dtype: 'F32', data: bytesOf(table.slice(0, shape.reduce((a, b) => a * b))) }))));
}

const split = async (name: string) => Object.fromEntries(await Promise.all([0, 1].map(async (no) => [
  `${name}-0000${no + 1}-of-00002.gguf`,
  await tiny({
    metadata: { 'split.no': { type: 'uint16', value: no }, 'split.count': { type: 'uint16', value: 2 } },
    tensors: [no === 0 ? { name: 'token_embd.weight', shape: [3, 8] } : { name: 'output_norm.weight', shape: [8] }],
  }),
])));

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(files: Record<string, Uint8Array>): Promise<string> {
  const server = createServer((request, response) => {
    const content = files[decodeURIComponent(request.url!.slice(1))];
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    if (!content) return response.writeHead(404).end();
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/${content.length}` }).end(content.subarray(Number(from), Number(to) + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function names(source: CheckpointSource): Promise<string[]> {
  const directory = await resolveSource(source, { attempts: 1 });
  expect(isGgufDirectory(directory)).toBe(true);
  const checkpoint = await openCheckpoint(directory);
  expect(checkpoint.config.model_type).toBe('llama');
  expect(toFloat32('F32', await checkpoint.tensors.get('model.embed_tokens.weight')!.read())).toEqual(table);
  await checkpoint.close();
  return [...checkpoint.tensors.keys()];
}

describe('a GGUF file is found', () => {
  it('by path, and as the only model of a folder', async () => {
    const path = await folder({ 'm.Q8_0.gguf': await tiny(), 'README.md': 'x' });
    expect(await names(join(path, 'm.Q8_0.gguf'))).toEqual(['model.embed_tokens.weight']);
    expect(await names(path)).toEqual(['model.embed_tokens.weight']);
  });

  it('with its parts, by any of them or by their folder', async () => {
    const path = await folder(await split('m'));
    for (const place of [path, join(path, 'm-00001-of-00002.gguf'), join(path, 'm-00002-of-00002.gguf')]) {
      expect(await names(place)).toEqual(['model.embed_tokens.weight', 'model.norm.weight']);
    }
  });

  it('among files of a picker, and as a Blob without a name', async () => {
    const files = Object.entries(await split('m')).map(([name, bytes]) => new File([bytes as BlobPart], name));
    expect(await names(files)).toEqual(['model.embed_tokens.weight', 'model.norm.weight']);
    expect(await names(new File([await tiny() as BlobPart], 'x.gguf'))).toEqual(['model.embed_tokens.weight']);
    expect(await names(new Blob([await tiny() as BlobPart]))).toEqual(['model.embed_tokens.weight']);
  });

  it('on a web server, by ranges', async () => {
    const url = await serve({ 'a b.gguf': await tiny(), ...(await split('m')) });
    expect(await names(`${url}/a%20b.gguf`)).toEqual(['model.embed_tokens.weight']);
    expect(await names(`${url}/m-00001-of-00002.gguf`)).toEqual(['model.embed_tokens.weight', 'model.norm.weight']);
  });

  it('on the hub, by its name behind the id; other formats are not fetched', async () => {
    const hub = await fakeHub('tester/tiny', { 'a.Q4_0.gguf': 'x', 'a.Q8_0.gguf': await tiny(), ...(await split('m')), 'README.md': 'x' });
    closers.push(() => hub.close(), () => vi.unstubAllEnvs());
    for (const name of ['HF_TOKEN', 'HF_HUB_OFFLINE']) vi.stubEnv(name, '');
    for (const [name, value] of [['HF_ENDPOINT', hub.endpoint], ['HF_HOME', await folder()], ['HF_HUB_CACHE', await folder()]]) vi.stubEnv(name, value);
    expect(await names('tester/tiny/a.Q8_0.gguf')).toEqual(['model.embed_tokens.weight']);
    expect(hub.fetches('a.Q4_0.gguf')).toEqual([]);
    expect(await names('tester/tiny/m-00001-of-00002.gguf')).toEqual(['model.embed_tokens.weight', 'model.norm.weight']);
    await expectRefusal(resolveSource('tester/tiny/none.gguf'), 'has no none.gguf');
    await expectRefusal(openHubRepository('tester/tiny'), 'GGUF files; name the one to load, such as tester/tiny/a.Q4_0.gguf');
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect(await names('tester/tiny/a.Q8_0.gguf')).toEqual(['model.embed_tokens.weight']);
  });

  it('or it is said what is there instead', async () => {
    const path = await folder({ 'a.gguf': await tiny(), 'b.gguf': await tiny(), 'bad.gguf': 'x'.repeat(99) });
    await expectRefusal(resolveSource(path), 'several GGUF files (a.gguf, b.gguf, bad.gguf)');
    await expectRefusal(resolveSource(join(path, 'bad.gguf')), 'bad.gguf is not a GGUF file');
    await expectRefusal(resolveSource(`${await serve({})}/x.gguf`), 'has no x.gguf');
  });
});

describe('a GGUF file that is no model is refused:', () => {
  it.each<[string, Parts, string]>([
    ['no architecture', { metadata: { 'general.architecture': undefined } }, 'no general.architecture'],
    ['an unknown one', { metadata: { 'general.architecture': 'rwkv7' } }, 'architecture "rwkv7"; known are gpt2, llama'],
    ['a vocabulary only', { tensors: [] }, 'no tensor token_embd.weight'],
    ['a missing key', { metadata: { 'llama.embedding_length': undefined } }, 'no metadata llama.embedding_length'],
    ['a key of another type', { metadata: { 'llama.embedding_length': 'x' } }, 'llama.embedding_length must be a number'],
    ['layers that differ', { metadata: { 'llama.attention.head_count_kv': { type: 'array', of: 'uint32', values: [1, 2] } } }, 'the same for all layers'],
    ['a billion layers', { metadata: { 'llama.block_count': uint32(1e9) } }, 'claims 1000000000 layers'],
    ['a million experts', { metadata: { 'llama.expert_count': uint32(1e6) } }, 'claims 1000000 experts'],
    ['Mixtral', { metadata: { 'llama.expert_count': uint32(8) } }, 'experts (Mixtral) are not supported'],
    ['partial RoPE', { metadata: { 'llama.rope.dimension_count': uint32(2) } }, 'RoPE on a part of each head'],
    ['another RoPE scaling', { metadata: { 'llama.rope.scaling.type': 'longrope' } }, 'RoPE scaling of type longrope'],
    ['frequencies of no known rule', { tensors: [{ name: 'token_embd.weight', shape: [3, 8] }, { name: 'rope_freqs.weight', shape: [6] }] }, "does not follow Llama 3's rule"],
    ['frequencies of a strange shape', { tensors: [{ name: 'token_embd.weight', shape: [3, 8] }, { name: 'rope_freqs.weight', shape: [2, 2] }] }, 'rope_freqs.weight has the shape [2, 2]'],
    ['heads that do not divide q', { tensors: [{ name: 'token_embd.weight', shape: [3, 8] }, { name: 'blk.0.attn_q.weight', shape: [3, 8] }] }, 'blk.0.attn_q.weight does not have the shape'],
  ])('%s', async (_, parts, reason) => {
    await expectRefusal(openGguf(await tiny(parts)), 'GGUF bytes', reason);
  });
});
