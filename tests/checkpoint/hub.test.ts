import { lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openCheckpoint, openHubRepository, resolveSource, toFloat32 } from '../../src/checkpoint/index.js';
import type { DownloadProgress, HubOptions } from '../../src/checkpoint/index.js';
import { fakeHub, gitHash, sha256 } from './fake-hub.js';
import type { FakeHub } from './fake-hub.js';
import { expectRefusal, folder, vectors } from './helpers.js';

const ID = 'tester/tiny';
const config = '{"model_type": "tiny"}';
const weights = vectors({ a: 50_000 });
const shards = {
  'config.json': config,
  'model.safetensors.index.json': JSON.stringify({ weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } }),
  'model-00001-of-00002.safetensors': vectors({ a: 3 }),
  'model-00002-of-00002.safetensors': vectors({ b: 2 }),
};
// Short waits: what is tested is that there is another try, not how long one waits for it.
const quick: HubOptions = { retryDelay: 1, attempts: 3 };

let hub: FakeHub;
let cache: string;
const start = async (files: Record<string, string | Uint8Array>, id = ID): Promise<void> => {
  hub = await fakeHub(id, files);
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
};
const model = (...path: string[]): string => join(cache, `models--${ID.replace('/', '--')}`, ...path);
const blob = (bytes: Uint8Array): string => model('blobs', sha256(bytes));

beforeEach(async () => {
  cache = await folder();
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_OFFLINE', 'HUGGINGFACE_HUB_CACHE']) vi.stubEnv(name, '');
  vi.stubEnv('HF_HOME', cache);
  vi.stubEnv('HF_HUB_CACHE', cache);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
});

describe('openHubRepository', () => {
  it('downloads a model into the layout of the Python cache and opens it', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights, 'tokenizer.json': '{}' });
    const progress: DownloadProgress[] = [];
    const directory = await openHubRepository(ID, { onProgress: (step) => progress.push(step) });
    const checkpoint = await openCheckpoint(directory);
    expect(checkpoint.name).toBe(ID);
    expect(toFloat32('F32', await checkpoint.tensors.get('a')!.readRange(0, 8))).toEqual(Float32Array.of(1, 2));
    await checkpoint.close();

    expect(await readFile(model('refs', 'main'), 'utf8')).toBe(hub.commit);
    expect((await readdir(model('snapshots', hub.commit))).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect((await readdir(model('blobs'))).sort()).toEqual([sha256(weights), gitHash(Buffer.from(config)), gitHash(Buffer.from('{}'))].sort());
    const link = model('snapshots', hub.commit, 'model.safetensors');
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readlink(link)).toBe(join('..', '..', 'blobs', sha256(weights)));
    const steps = progress.filter(({ file }) => file === 'model.safetensors');
    expect(steps[0]).toEqual({ file: 'model.safetensors', loaded: 0, total: weights.length });
    expect(steps.at(-1)).toEqual({ file: 'model.safetensors', loaded: weights.length, total: weights.length });
  });

  it('fetches nothing a second time', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await openHubRepository(ID);
    await openHubRepository(ID, { revision: hub.commit });
    expect(hub.fetches('model.safetensors')).toHaveLength(1);
    expect(hub.fetches('config.json')).toHaveLength(1);
  });

  it('uses files that Python has downloaded', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await mkdir(model('blobs'), { recursive: true });
    await mkdir(model('snapshots', hub.commit), { recursive: true });
    await writeFile(blob(weights), weights);
    await symlink(join('..', '..', 'blobs', sha256(weights)), model('snapshots', hub.commit, 'model.safetensors'));
    await openHubRepository(ID);
    expect(hub.fetches('model.safetensors')).toHaveLength(0);
    expect(hub.fetches('config.json')).toHaveLength(1);
  });

  it('uses a cache without links, as it is where the platform has none', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await mkdir(model('snapshots', hub.commit), { recursive: true });
    await writeFile(model('snapshots', hub.commit, 'model.safetensors'), weights);
    await openHubRepository(ID);
    expect(hub.fetches('model.safetensors')).toHaveLength(0);
  });

  it('links a file whose content an older snapshot has', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await openHubRepository(ID);
    await rm(model('snapshots'), { recursive: true });
    await openCheckpoint(await openHubRepository(ID)).then((checkpoint) => checkpoint.close());
    expect(hub.fetches('model.safetensors')).toHaveLength(1);
  });

  it('opens bare names', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights }, 'tiny');
    const directory = await openHubRepository('tiny');
    expect(await directory.list()).toEqual(['config.json', 'model.safetensors']);
    expect(await readdir(cache)).toContain('models--tiny');
  });

  it('fetches what a checkpoint needs and the shards that the index names, nothing else', async () => {
    await start({
      ...shards,
      'generation_config.json': '{}', 'tokenizer_config.json': '{}', 'chat_template.jinja': '', 'merges.txt': 'a b',
      'pytorch_model.bin': 'x', 'model.onnx': 'x', 'model.gguf': 'x', 'README.md': 'x', '.gitattributes': 'x', 'consolidated.safetensors': 'x', 'training_args.bin': 'x',
    });
    const directory = await openHubRepository(ID);
    expect(await directory.list()).toEqual([
      'chat_template.jinja', 'config.json', 'generation_config.json', 'merges.txt', 'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors', 'model.safetensors.index.json', 'tokenizer_config.json',
    ]);
  });

  it('fetches only the wanted files', async () => {
    await start({ ...shards, 'tokenizer.json': '{}' });
    const directory = await openHubRepository(ID, { files: (name) => name.startsWith('tokenizer') });
    expect(await directory.list()).toEqual(['tokenizer.json']);
  });

  it('reads by ranges and stores nothing when told not to download', async () => {
    await start(shards);
    const checkpoint = await openCheckpoint(await openHubRepository(ID, { download: false }));
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b']);
    expect(toFloat32('F32', await checkpoint.tensors.get('b')!.read())).toEqual(Float32Array.of(1, 2));
    expect(await readdir(cache)).toEqual([]);
  });

  it('sends the token to the hub and not to the storage behind it', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.files.set('tokenizer.json', Buffer.from('{}'));
    hub.requiredToken = 'a-token';
    hub.pagesElsewhere = true;
    vi.stubEnv('HF_TOKEN', 'a-token');
    await openHubRepository(ID);
    expect(hub.seen.filter(({ path }) => path === '/storage/tree').map(({ authorization }) => authorization)).toEqual([undefined]);
    expect(hub.fetches('model.safetensors')[0].authorization).toBeUndefined();
    expect(hub.fetches('config.json')[0]).toMatchObject({ authorization: 'Bearer a-token', encoding: 'identity' });
  });

  it('finds the token of a login', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.requiredToken = 'of-login';
    await writeFile(join(cache, 'token'), 'of-login\n');
    await openHubRepository(ID);
  });
});

describe('what goes wrong on the way', () => {
  const expectWeights = async (): Promise<void> => {
    const stored = await readFile(model('snapshots', hub.commit, 'model.safetensors'));
    expect(stored.equals(weights)).toBe(true);
    expect((await readdir(model('blobs'))).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
  };

  it('goes on where a connection was cut', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    // More cuts than tries: each brings something, so none counts twice.
    hub.faults.set('model.safetensors', [50_000, 40_000, 30_000, 20_000].map((after) => ({ kind: 'cut', after })));
    await openHubRepository(ID, quick);
    expect(hub.fetches('model.safetensors').map(({ range }) => range)).toEqual([undefined, 'bytes=50000-', 'bytes=90000-', 'bytes=120000-', 'bytes=140000-']);
    await expectWeights();
  });

  it('goes on in the next run', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'cut', after: 60_000 }]);
    await expectRefusal(openHubRepository(ID, { attempts: 1 }), `${ID}: model.safetensors`, /connection/);
    const progress: DownloadProgress[] = [];
    await openHubRepository(ID, { onProgress: (step) => progress.push(step) });
    expect(hub.fetches('model.safetensors').at(-1)!.range).toBe('bytes=60000-');
    expect(progress.find(({ file }) => file === 'model.safetensors')!.loaded).toBe(60_000);
    await expectWeights();
  });

  it('starts again when the server ignores the range', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'cut', after: 60_000 }, { kind: 'ignore range' }]);
    await openHubRepository(ID, quick);
    await expectWeights();
  });

  it('refuses another range than it asked for', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'cut', after: 60_000 }, { kind: 'wrong range' }]);
    await expectRefusal(openHubRepository(ID, quick), `${ID}: model.safetensors`, 'asked for bytes from 60000', 'bytes 0-');
  });

  it('stops the other files when one fails', async () => {
    await start(shards);
    hub.faults.set('model-00001-of-00002.safetensors', [{ kind: 'stall', after: 1 }]);
    hub.faults.set('model-00002-of-00002.safetensors', [{ kind: 'status', status: 404 }]);
    await expectRefusal(openHubRepository(ID, quick), 'no file model-00002-of-00002.safetensors');
  });

  it.each([
    ['damaged', () => weights.slice(0, 1000).fill(9)],
    ['too long', () => new Uint8Array(weights.length + 1)],
  ])('starts again when what an earlier run left is %s', async (_, leftover) => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await mkdir(model('blobs'), { recursive: true });
    await writeFile(`${blob(weights)}.incomplete`, leftover());
    await openHubRepository(ID, quick);
    expect(hub.fetches('model.safetensors').at(-1)!.range).toBeUndefined();
    await expectWeights();
  });

  it('takes what an earlier run left complete', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await mkdir(model('blobs'), { recursive: true });
    await writeFile(`${blob(weights)}.incomplete`, weights);
    await openHubRepository(ID, quick);
    expect(hub.fetches('model.safetensors')).toHaveLength(0);
    await expectWeights();
  });

  it('tries again after 429 and 503', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('info', [{ kind: 'status', status: 503 }]);
    hub.faults.set('model.safetensors', [{ kind: 'status', status: 429, retryAfter: 1 }, { kind: 'status', status: 503 }]);
    const started = performance.now();
    await openHubRepository(ID, quick);
    expect(performance.now() - started).toBeGreaterThan(990);
    await expectWeights();
  });

  it('gives up on a server that stays busy', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', Array(3).fill({ kind: 'status', status: 503 }));
    const error = await expectRefusal(openHubRepository(ID, quick), 'model.safetensors', 'status 503');
    expect(error.status).toBe(503);
    expect(hub.fetches('model.safetensors')).toHaveLength(3);
  });

  it('keeps no file with the wrong hash', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'corrupt' }]);
    await expectRefusal(openHubRepository(ID, quick), `${ID}: model.safetensors`, sha256(weights), 'nothing was kept');
    expect((await readdir(model('blobs'))).filter((name) => name.startsWith(sha256(weights)))).toEqual([]);
    await openHubRepository(ID, quick);
    await expectWeights();
  });

  it('checks small files too', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('config.json', [{ kind: 'corrupt' }]);
    await expectRefusal(openHubRepository(ID, quick), `${ID}: config.json`, gitHash(Buffer.from(config)));
  });

  it.each([1000, 300_000])('keeps no file of the wrong size (%i)', async (bytes) => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'size', bytes }]);
    await expectRefusal(openHubRepository(ID, quick), `${ID}: model.safetensors`, `has ${bytes} bytes`, `${weights.length}`);
    expect(await readdir(model('snapshots', hub.commit)).catch(() => [])).not.toContain('model.safetensors');
  });

  it('stops when aborted, and keeps what it has', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('model.safetensors', [{ kind: 'stall', after: 70_000 }]);
    const abort = new AbortController();
    const onProgress = ({ loaded }: DownloadProgress): void => void (loaded === 70_000 && abort.abort());
    await expect(openHubRepository(ID, { signal: abort.signal, onProgress })).rejects.toMatchObject({ name: 'AbortError' });
    expect((await lstat(`${blob(weights)}.incomplete`)).size).toBe(70_000);
    await openHubRepository(ID, quick);
    expect(hub.fetches('model.safetensors').at(-1)!.range).toBe('bytes=70000-');
  });

  it('stops waiting for another try when aborted', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    hub.faults.set('info', [{ kind: 'status', status: 503, retryAfter: 30 }]);
    const started = performance.now();
    await expect(openHubRepository(ID, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('lets two downloads of one model run side by side', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await Promise.all([openHubRepository(ID, quick), openHubRepository(ID, quick), openHubRepository(ID, quick)]);
    await expectWeights();
  });

  it('says what a refusal means', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await expectRefusal(openHubRepository('tester/other', quick), 'tester/other: the hub has no model');
    await expectRefusal(openHubRepository(ID, { ...quick, revision: 'v2' }), ID, 'no revision "v2"');
    hub.faults.set('model.safetensors', [{ kind: 'status', status: 404 }]);
    await expectRefusal(openHubRepository(ID, quick), ID, 'no file model.safetensors at revision main');
    hub.requiredToken = 'secret';
    await expectRefusal(openHubRepository(ID, quick), ID, 'HF_TOKEN is not set');
    const error = await expectRefusal(openHubRepository(ID, { ...quick, token: 'wrong' }), 'the token in HF_TOKEN (or of the login) does not open it');
    expect(error.message).not.toContain('wrong');
  });

  it('says which shard the repository lacks, and what it has instead of safetensors', async () => {
    await start(shards);
    hub.files.delete('model-00002-of-00002.safetensors');
    await expectRefusal(openHubRepository(ID, quick), 'names model-00002-of-00002.safetensors, which the repository does not have');
    hub.files.clear();
    hub.files.set('pytorch_model.bin', new Uint8Array(1));
    await expectRefusal(openHubRepository(ID, quick), 'pytorch_model.bin, which Lamella does not read');
  });

  it('does not follow names out of the cache', async () => {
    await start({ 'config.json': config, 'model.safetensors': weights });
    await expectRefusal(openHubRepository('../x'), 'not the id of a hub model');
    await expectRefusal(openHubRepository(ID, { revision: '../../x' }), 'not a revision');
    hub.files.delete('model.safetensors');
    hub.files.set('..\\..\\evil.safetensors', weights);
    await expectRefusal(openHubRepository(ID, quick), 'not a plain file name');
  });
});

describe('without a network', () => {
  it('serves what the cache has', async () => {
    await start(shards);
    await openHubRepository(ID);
    const requests = hub.seen.length;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    for (const revision of ['main', hub.commit]) {
      await openCheckpoint(await openHubRepository(ID, { revision })).then((checkpoint) => checkpoint.close());
    }
    expect(hub.seen).toHaveLength(requests);
  });

  it('says what is missing', async () => {
    await start(shards);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expectRefusal(openHubRepository(ID), 'HF_HUB_OFFLINE is set', `has no ${ID}`, cache);
    vi.stubEnv('HF_HUB_OFFLINE', '');
    await openHubRepository(ID);
    await rm(model('snapshots', hub.commit, 'model-00002-of-00002.safetensors'));
    await rm(model('snapshots', hub.commit, 'config.json'));
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expectRefusal(openHubRepository(ID), 'HF_HUB_OFFLINE is set', 'lacks config.json, model-00002-of-00002.safetensors');
  });

  it('falls back on the cache when the hub cannot be reached', async () => {
    await start(shards);
    await openHubRepository(ID);
    await hub.close();
    await openCheckpoint(await openHubRepository(ID, quick)).then((checkpoint) => checkpoint.close());
    await expectRefusal(openHubRepository('tester/other', quick), 'ECONNREFUSED', 'has no tester/other');
  });
});

describe('resolveSource', () => {
  beforeEach(() => start({ 'config.json': config, 'model.safetensors': weights }));
  const tensorsOf = async (...source: Parameters<typeof resolveSource>): Promise<string[]> => {
    const checkpoint = await openCheckpoint(await resolveSource(...source));
    const names = [...checkpoint.tensors.keys()];
    await checkpoint.close();
    return names;
  };

  it('opens hub ids, hub pages, and folders and files on a web server', async () => {
    expect(await tensorsOf(ID)).toEqual(['a']);
    expect(await tensorsOf(`${hub.endpoint}/${ID}`)).toEqual(['a']);
    expect(await tensorsOf(`${hub.endpoint}/${ID}/tree/main`)).toEqual(['a']);
    expect(hub.fetches('model.safetensors')).toHaveLength(1);
    expect(await tensorsOf(`${hub.endpoint}/${ID}/resolve/main/`)).toEqual(['a']);
    expect(await tensorsOf(`${hub.endpoint}/${ID}/resolve/main/model.safetensors`)).toEqual(['a']);
    await expectRefusal(tensorsOf(`${hub.endpoint}/nobody/nothing/resolve/main`), 'has no config.json');
  });

  it('opens local paths before hub ids', async () => {
    const path = await folder({ 'config.json': config, 'one.safetensors': vectors({ one: 1 }), 'two.safetensors': vectors({ two: 1 }), 'model.safetensors': vectors({ m: 1 }) });
    expect(await tensorsOf(path)).toEqual(['m']);
    expect(await tensorsOf(join(path, 'two.safetensors'))).toEqual(['two']);
    expect(await (await resolveSource(join(path, 'two.safetensors'))).list()).toEqual(['config.json', 'two.safetensors']);
  });

  it('opens files of a picker, and directories as they are', async () => {
    const files = [new File([config], 'config.json'), new File([vectors({ f: 1 }) as BlobPart], 'model.safetensors')];
    expect(await tensorsOf(files)).toEqual(['f']);
    const directory = await resolveSource(files);
    expect(await resolveSource(directory)).toBe(directory);
    await expectRefusal(resolveSource([new Blob(['x'])]), 'has no name');
    await expectRefusal(resolveSource([]), 'no files were given');
  });

  it('says what was tried', async () => {
    const path = await folder({ 'model.gguf': '', 'notes.txt': '', 'model-00001-of-00002.safetensors': vectors({ a: 1 }) });
    await expectRefusal(resolveSource('./no/such/place'), 'there is no file or directory "./no/such/place"', 'not a hub id');
    await expectRefusal(resolveSource('nobody/nothing', quick), 'there is no file or directory "nobody/nothing"', 'as a hub id, nobody/nothing: the hub has no model');
    await expectRefusal(resolveSource(join(path, 'notes.txt')), 'not a directory, a .safetensors or a .gguf file');
    await expectRefusal(resolveSource(join(path, 'model-00001-of-00002.safetensors')), 'one shard of a checkpoint');
  });
});
