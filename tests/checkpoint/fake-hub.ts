// A hub on the loopback interface: the endpoints that a download uses, with large files on a second
// server (another origin) behind a redirect, and a list of faults to be played file by file.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: number }
  | { readonly kind: 'cut'; readonly after: number }
  | { readonly kind: 'stall'; readonly after: number }
  | { readonly kind: 'corrupt' }
  | { readonly kind: 'size'; readonly bytes: number }
  | { readonly kind: 'ignore range' }
  | { readonly kind: 'wrong range' };

export interface Seen {
  readonly path: string;
  readonly range?: string;
  readonly authorization?: string;
  readonly encoding?: string | string[];
}

export interface FakeHub {
  readonly endpoint: string;
  readonly commit: string;
  /** Every request to either server, in order; large files appear twice, at both. */
  readonly seen: Seen[];
  /** The model's files; change them to change the repository. */
  readonly files: Map<string, Uint8Array>;
  /** For a file name, or 'info' or 'tree': faults of its next requests. */
  readonly faults: Map<string, Fault[]>;
  /** Serves the second page of the file list from the storage server. */
  pagesElsewhere?: boolean;
  /** What a request must carry, where the model is gated. */
  requiredToken?: string;
  /** The bodies that were requested of a file. */
  fetches(fileName: string): Seen[];
  close(): Promise<void>;
}

const LARGE = /\.safetensors$/;
const hex = (algorithm: string, ...parts: (string | Uint8Array)[]): string => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
export const sha256 = (bytes: Uint8Array): string => hex('sha256', bytes);
export const gitHash = (bytes: Uint8Array): string => hex('sha1', `blob ${bytes.length}\0`, bytes);

/** Serves one model. */
export async function fakeHub(id: string, contents: Record<string, string | Uint8Array>): Promise<FakeHub> {
  const files = new Map(Object.entries(contents).map(([name, content]) => [name, Buffer.from(content as string)]));
  const faults = new Map<string, Fault[]>();
  const seen: Seen[] = [];
  const commit = hex('sha1', id);
  const note = (request: IncomingMessage): string => {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
    seen.push({ path, range: request.headers.range, authorization: request.headers.authorization, encoding: request.headers['accept-encoding'] });
    return path;
  };

  const storage = createServer((request, response) => {
    const name = note(request).slice('/storage/'.length);
    if (name === 'tree') return sendTree(request, response, files);
    sendContent(request, response, files.get(name)!, faults.get(name)?.shift());
  });
  const storageUrl = await listen(storage);

  const server = createServer((request, response) => {
    const path = note(request);
    if (hub.requiredToken && request.headers.authorization !== `Bearer ${hub.requiredToken}`) return sendStatus(response, 401);
    if (path === `/api/models/${id}/revision/main` || path === `/api/models/${id}/revision/${commit}`) {
      const fault = faults.get('info')?.shift();
      if (fault?.kind === 'status') return sendStatus(response, fault.status, fault.retryAfter);
      return sendJson(response, { _id: '0', id, sha: commit, private: false, downloads: 0, likes: 0, lastModified: '2025-01-01T00:00:00Z' });
    }
    if (path === `/api/models/${id}/tree/${commit}`) return sendTree(request, response, files, hub.pagesElsewhere ? `${storageUrl}/storage/tree` : undefined);
    const name = new RegExp(`^/${id}/resolve/(?:main|${commit})/([^/]+)$`).exec(path)?.[1];
    const content = name === undefined ? undefined : files.get(name);
    if (name === undefined || !content) return sendStatus(response, 404);
    response.setHeader('X-Repo-Commit', commit);
    if (!LARGE.test(name)) {
      response.setHeader('ETag', `"${gitHash(content)}"`);
      return sendContent(request, response, content, faults.get(name)?.shift());
    }
    response.writeHead(302, { Location: `${storageUrl}/storage/${name}`, 'X-Linked-Size': content.length, 'X-Linked-ETag': `"${sha256(content)}"` }).end();
  });

  const hub: FakeHub = {
    endpoint: await listen(server),
    commit,
    seen,
    files,
    faults,
    fetches: (fileName) => seen.filter(({ path }) => path.endsWith(LARGE.test(fileName) ? `/storage/${fileName}` : `/${fileName}`)),
    close: async () => {
      for (const each of [server, storage]) {
        each.closeAllConnections();
        await new Promise((resolve) => each.close(resolve));
      }
    },
  };
  return hub;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function sendStatus(response: ServerResponse, status: number, retryAfter?: number): void {
  response.writeHead(status, retryAfter === undefined ? {} : { 'Retry-After': retryAfter }).end('refused');
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
}

/** In two pages, as the hub does it for large repositories. */
function sendTree(request: IncomingMessage, response: ServerResponse, files: Map<string, Uint8Array>, nextPage?: string): void {
  const entries = [...files].map(([path, bytes]) => ({
    type: 'file',
    path,
    size: bytes.length,
    oid: gitHash(bytes),
    ...(LARGE.test(path) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
  }));
  const url = new URL(request.url!, `http://${request.headers.host}`);
  if (url.searchParams.has('cursor')) return sendJson(response, entries.slice(2));
  if (entries.length > 2) response.setHeader('Link', `<${nextPage ?? url.origin + url.pathname}?cursor=2>; rel="next"`);
  sendJson(response, [{ type: 'directory', path: 'onnx', size: 0, oid: gitHash(new Uint8Array(0)) }, ...entries.slice(0, 2)]);
}

function sendContent(request: IncomingMessage, response: ServerResponse, whole: Uint8Array, fault?: Fault): void {
  if (fault?.kind === 'status') return sendStatus(response, fault.status, fault.retryAfter);
  const served = fault?.kind === 'size' ? new Uint8Array(fault.bytes) : fault?.kind === 'corrupt' ? whole.map((byte) => byte ^ 1) : whole;
  const [, first, last] = (fault?.kind !== 'ignore range' && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')) || [];
  let body = served;
  if (first !== undefined) {
    const end = Math.min(last ? Number(last) + 1 : served.length, served.length);
    if (Number(first) >= served.length) return void response.writeHead(416, { 'Content-Range': `bytes */${served.length}` }).end();
    body = served.subarray(Number(first), end);
    const announced = fault?.kind === 'wrong range' ? 0 : first;
    response.writeHead(206, { 'Content-Range': `bytes ${announced}-${end - 1}/${served.length}`, 'Content-Length': body.length });
  } else {
    response.writeHead(200, { 'Content-Length': body.length });
  }
  if (request.method === 'HEAD') return void response.end();
  if (fault?.kind === 'cut') response.write(body.subarray(0, fault.after), () => setTimeout(() => response.destroy(), 20));
  else if (fault?.kind === 'stall') response.write(body.subarray(0, fault.after));
  else response.end(body);
}
