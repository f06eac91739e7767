import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { blobDirectory, blobSource, bytesSource, platform } from '../../src/platform/index.js';
import type { LocalFiles, Platform } from '../../src/platform/index.js';
import { folder } from './helpers.js';

let node: Platform;
let files: LocalFiles;
beforeAll(async () => {
  node = await platform();
  files = node.files!;
});

const chunks = async function* (...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield new TextEncoder().encode(part);
};

describe('the Node platform', () => {
  it('is one object, and reads the environment', async () => {
    expect(await platform()).toBe(node);
    expect(node.name).toBe('node');
    vi.stubEnv('LAMELLA_TEST', 'x');
    expect(node.environment('LAMELLA_TEST')).toBe('x');
    vi.stubEnv('LAMELLA_TEST', '');
    expect(node.environment('LAMELLA_TEST')).toBeUndefined();
    vi.unstubAllEnvs();
  });

  it('lists the files of a directory, links followed, folders left out', async () => {
    const path = await folder({ b: 'B', a: 'A' });
    await mkdir(join(path, 'sub'));
    await symlink('a', join(path, 'linked'));
    await symlink('gone', join(path, 'dangling'));
    const directory = await files.openDirectory(path);
    expect(await directory.list()).toEqual(['a', 'b', 'linked']);
    expect(await directory.open('gone')).toBeUndefined();
    expect(await directory.open('sub')).toBeUndefined();
    const linked = (await directory.open('linked'))!;
    expect(await linked.read(0, linked.size)).toEqual(Uint8Array.of(65));
    await linked.close();
    for (const name of ['../a', 'sub/a', '..', '', 'a\0']) await expect(directory.open(name)).rejects.toThrow('not a plain file name');
  });

  it('explains what cannot be opened', async () => {
    const path = await folder({ a: '' });
    await expect(files.openFile(join(path, 'x'))).rejects.toThrow(`${join(path, 'x')}: there is no such file`);
    await expect(files.openFile(path)).rejects.toThrow(`${path} is not a file`);
    await expect(files.openDirectory(join(path, 'a'))).rejects.toThrow('is not a directory');
    await expect(files.writeDirectory(join(path, 'a'))).rejects.toThrow('something other than a directory has this name');
    expect(await files.stat(join(path, 'a', 'b'))).toBeUndefined();
    expect(await files.stat('\0')).toBeUndefined();
    expect(await files.readText(join(path, 'x'))).toBeUndefined();
  });

  it('gives written files their names only when all are written', async () => {
    const path = join(await folder(), 'new', 'model');
    const writer = await files.writeDirectory(path);
    await writer.write('model.safetensors', chunks('long ', 'content'));
    await writer.write('config.json', new TextEncoder().encode('{}'));
    expect((await readdir(path)).filter((name) => !name.endsWith('.partial'))).toEqual([]);
    await writer.commit();
    await writer.discard();
    expect((await readdir(path)).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(await readFile(join(path, 'model.safetensors'), 'utf8')).toBe('long content');
  });

  it('leaves the old files when writing fails half way', async () => {
    const path = await folder({ 'model.safetensors': 'old', 'config.json': 'old' });
    const writer = await files.writeDirectory(path);
    await writer.write('config.json', chunks('new'));
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1000);
      throw new Error('the disk is full');
    };
    await expect(writer.write('model.safetensors', failing())).rejects.toThrow('the disk is full');
    await writer.discard();
    expect((await readdir(path)).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(await readFile(join(path, 'config.json'), 'utf8')).toBe('old');
    await expect(writer.write('../x', new Uint8Array(0))).rejects.toThrow('not a plain file name');
  });

  it.skipIf(!existsSync('/dev/full'))('says that the disk is full (/dev/full)', async () => {
    const file = await files.openGrowing('/dev/full');
    await expect(file.write(0, new Uint8Array(1))).rejects.toThrow('/dev/full: the disk is full');
    await file.close();
  });

  it('grows a file over several openings', async () => {
    const path = join(await folder(), 'deep', 'file');
    for (const [size, text] of [[0, 'one '], [4, 'two']] as const) {
      const file = await files.openGrowing(path);
      expect(file.size).toBe(size);
      await file.write(size, new TextEncoder().encode(text));
      await file.sync();
      await file.close();
    }
    expect(await files.readText(path)).toBe('one two');
  });

  it('replaces links and small texts', async () => {
    const path = await folder({ a: 'A', b: 'B' });
    await files.link(join(path, 'a'), join(path, 'x', 'link'));
    await files.link(join(path, 'b'), join(path, 'x', 'link'));
    expect(await readFile(join(path, 'x', 'link'), 'utf8')).toBe('B');
    await files.writeText(join(path, 'y', 'ref'), '1');
    await files.writeText(join(path, 'y', 'ref'), '2');
    expect(await readdir(join(path, 'y'))).toEqual(['ref']);
    expect(await files.readText(join(path, 'y', 'ref'))).toBe('2');
  });
});

describe('sources in memory', () => {
  it('read ranges and refuse what lies outside', async () => {
    const path = join(await folder({ f: 'abcdef' }), 'f');
    for (const source of [bytesSource(new TextEncoder().encode('abcdef'), 's'), blobSource(new Blob(['abcdef'])), await files.openFile(path)]) {
      expect(source.size).toBe(6);
      expect(new TextDecoder().decode(await source.read(2, 3))).toBe('cde');
      expect(await source.read(6, 0)).toHaveLength(0);
      for (const [offset, length] of [[4, 3], [-1, 2], [0, -1], [0.5, 1], [7, 0]]) await expect(source.read(offset, length)).rejects.toThrow(RangeError);
      await source.close();
    }
  });

  it('take only the top of a picked folder', async () => {
    const at = (path: string): File => Object.defineProperty(new File(['x'], path.split('/').at(-1)!), 'webkitRelativePath', { value: path });
    const directory = blobDirectory([at('model/config.json'), at('model/onnx/config.json'), at('model/a.txt')]);
    expect(await directory.list()).toEqual(['a.txt', 'config.json']);
    expect(await directory.open('b.txt')).toBeUndefined();
    expect(() => blobDirectory([new File([''], 'a'), new File([''], 'a')])).toThrow('are called a');
  });
});

describe('the browser platform', () => {
  it('has no paths and no environment', async () => {
    const { browser } = await import('../../src/platform/browser.js');
    expect(browser.files).toBeUndefined();
    expect(browser.environment('PATH')).toBeUndefined();
  });

  it('is reached without loading anything of Node', async () => {
    // Follows the static imports of the public file, as a bundler would.
    const root = new URL('../../src/', import.meta.url);
    const seen = new Set<string>();
    const visit = async (url: URL): Promise<void> => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      const text = await readFile(url, 'utf8');
      for (const [, type, name] of text.matchAll(/^(?:import|export) (type )?[^;]*? from '([^']+)';/gm)) {
        expect(name).toMatch(/^\./);
        if (!type) await visit(new URL(name.replace(/\.js$/, '.ts'), url));
      }
    };
    await visit(new URL('checkpoint/index.ts', root));
    expect([...seen].some((href) => href.endsWith('checkpoint/hub.ts'))).toBe(true);
    expect([...seen].filter((href) => /platform\/node/.test(href))).toEqual([]);
  });
});

describe('writing in place', () => {
  it('keeps an opened file readable while it is replaced', async () => {
    const path = await folder();
    await writeFile(join(path, 'f'), 'old');
    const source = await files.openFile(join(path, 'f'));
    const writer = await files.writeDirectory(path);
    await writer.write('f', chunks('new content'));
    await writer.commit();
    expect(new TextDecoder().decode(await source.read(0, 3))).toBe('old');
    await source.close();
    expect(await files.readText(join(path, 'f'))).toBe('new content');
  });
});
