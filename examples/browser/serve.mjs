// Serves the example page, the library beside it, and models of a folder, with the two headers that let a
// page use threads. Any static server that can send these headers does as well.
//
//   npm run build
//   node examples/browser/serve.mjs [folder of models] [--port 8080] [--no-isolation]

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm', '.json': 'application/json' };

/** What makes a page cross-origin isolated, and so lets it share memory between threads. */
export const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/**
 * Starts the server. `roots` maps address prefixes to folders, the longest first; `onRequest` hears of
 * every answer: { path, range, status, bytes }.
 */
export async function serve({ roots, port = 0, isolated = true, ranges = true, onRequest = () => {} }) {
  const server = createServer((request, response) => {
    answer(request, response, { roots, isolated, ranges, onRequest }).catch((error) => {
      console.error(error.message);
      response.destroy();
    });
  });
  await new Promise((resolve, reject) => { server.once('error', reject).listen(port, '127.0.0.1', resolve); });
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }) };
}

async function answer(request, response, { roots, isolated, ranges, onRequest }) {
  const address = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  const file = locate(address, roots);
  const found = file && (await stat(file).catch(() => undefined));
  const headers = isolated ? { ...ISOLATION } : {};
  const send = (status, bytes, stream) => {
    onRequest({ path: address, range: request.headers.range, status, bytes });
    response.writeHead(status, { ...headers, 'Content-Length': bytes });
    if (stream && request.method !== 'HEAD') stream.on('error', () => response.destroy()).pipe(response);
    else response.end();
  };
  if (!found?.isFile()) return send(404, 0);
  Object.assign(headers, { 'Content-Type': TYPES[path.extname(file)] ?? 'application/octet-stream', 'Last-Modified': found.mtime.toUTCString(), 'Cache-Control': 'no-cache' });
  headers.ETag = `"${found.size}-${found.mtimeMs}"`;
  const [, first, last] = (ranges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')) || [];
  if (first === undefined) return send(200, found.size, createReadStream(file));
  const [start, end] = [Number(first), Math.min(last ? Number(last) : Infinity, found.size - 1)];
  if (start > end) return send(416, 0);
  headers['Content-Range'] = `bytes ${start}-${end}/${found.size}`;
  send(206, end - start + 1, createReadStream(file, { start, end }));
}

/** The file that an address stands for, never outside of its folder. */
function locate(address, roots) {
  const [prefix, folder] = Object.entries(roots).sort(([a], [b]) => b.length - a.length).find(([start]) => address.startsWith(start)) ?? [];
  if (!folder) return undefined;
  const file = path.resolve(folder, address.slice(prefix.length) || 'index.html');
  return file.startsWith(path.resolve(folder) + path.sep) ? file : undefined;
}

/** The example, with the library that `npm run build` made. */
export const exampleRoots = { '/': here, '/lamella/': path.join(here, '../../dist/browser') };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals: [models] } = parseArgs({ allowPositionals: true, options: { port: { type: 'string', default: '8080' }, 'no-isolation': { type: 'boolean' } } });
  const roots = { ...exampleRoots, ...(models ? { '/models/': models } : {}) };
  try {
    const { url } = await serve({ roots, port: Number(values.port), isolated: !values['no-isolation'] });
    console.error(`${url}${models ? `   models of ${models} are at ${url}models/` : ''}`);
  } catch (error) {
    console.error(`cannot listen on port ${values.port}: ${error.message}`);
    process.exit(1);
  }
}
