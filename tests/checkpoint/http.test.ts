import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { readSafetensors } from '../../src/checkpoint/index.js';
import { httpDirectory, httpSource } from '../../src/checkpoint/http.js';
import { expectRefusal, vectors } from './helpers.js';

let server: Server;
const serve = async (listener: RequestListener): Promise<string> => {
  server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
};
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Answers range requests on the content; `broken` answers the n-th request differently. */
const ranges = (content: Uint8Array, seen: string[] = [], broken: Record<number, RequestListener> = {}): RequestListener => (request, response) => {
  const other = broken[seen.push(request.headers.range ?? 'all')];
  if (other) return other(request, response);
  const [first, last] = /(\d+)-(\d+)/.exec(request.headers.range!)!.slice(1).map(Number);
  if (first >= content.length) return response.writeHead(416).end();
  response.writeHead(206, { 'Content-Range': `bytes ${first}-${last}/${content.length}` }).end(content.subarray(first, last + 1));
};
const quick = { attempts: 2, retryDelay: 1 };

describe('files on a web server', () => {
  it('are read by ranges', async () => {
    const seen: string[] = [];
    const content = vectors({ a: 1000 });
    const file = await readSafetensors(await serve(ranges(content, seen)));
    const start = content.length - 4000;
    expect(seen).toEqual(['bytes=0-0', 'bytes=0-7', `bytes=8-${start - 1}`]);
    expect(await file.tensors.get('a')!.readRange(4, 8)).toEqual(content.slice(start + 4, start + 12));
    expect(seen[3]).toBe(`bytes=${start + 4}-${start + 11}`);
  });

  it('are read again when a connection breaks or the server is busy', async () => {
    const seen: string[] = [];
    const url = await serve(ranges(Uint8Array.of(1, 2, 3), seen, {
      1: (_, response) => response.writeHead(503).end(),
      3: (_, response) => response.writeHead(206, { 'Content-Length': 3 }).write('x', () => response.destroy()),
    }));
    const source = (await httpSource(url, quick))!;
    expect(source.size).toBe(3);
    expect(await source.read(0, 3)).toEqual(Uint8Array.of(1, 2, 3));
    expect(seen).toHaveLength(4);
  });

  it('may be missing or empty', async () => {
    const url = await serve((request, response) => (request.url === '/x/empty' ? response.writeHead(416).end() : response.writeHead(404).end()));
    const directory = httpDirectory(url);
    expect(await directory.open('none')).toBeUndefined();
    expect((await directory.open('empty'))!.size).toBe(0);
    expect(await directory.list()).toEqual([]);
    await expectRefusal(readSafetensors(url), `${url}: the server has no such file`);
  });

  it('are read whole from a server without ranges, unless they are large', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/x/small') response.end('abc');
      else response.writeHead(200, { 'Content-Length': 2 ** 30 }).write('x');
    });
    const directory = httpDirectory(url);
    const small = (await directory.open('small'))!;
    expect(new TextDecoder().decode(await small.read(1, 2))).toBe('bc');
    await expectRefusal(directory.open('large'), 'large', 'ignores range requests');
  });

  it('are refused with the address and the reason', async () => {
    const url = await serve(ranges(Uint8Array.of(1, 2, 3), [], {
      1: (_, response) => response.writeHead(403).end(),
      2: (_, response) => response.writeHead(206).end('x'),
      4: (_, response) => response.writeHead(206).end('x'),
      5: (_, response) => response.writeHead(500).end(),
      6: (_, response) => response.writeHead(500).end(),
    }));
    await expectRefusal(httpSource(url, quick), url, 'status 403');
    await expectRefusal(httpSource(url, quick), url, 'no readable Content-Range');
    const source = (await httpSource(url, quick))!;
    await expectRefusal(source.read(0, 3), url, 'sent 1 of 3 bytes');
    await expectRefusal(source.read(0, 3), url, 'status 500');
  });

  it('keep the query of a signed address', async () => {
    const seen: string[] = [];
    const url = await serve((request, response) => (seen.push(request.url!), response.writeHead(404).end()));
    await httpDirectory(`${url}/?key=1`).open('config.json');
    expect(seen).toEqual(['/x/config.json?key=1']);
  });
});
