// Asking the Hugging Face hub: endpoint, token, what a repository holds, and answers turned into
// errors a person can act on. The requests' form is @huggingface/hub's; auth, retries and abort are
// put beneath it through its `fetch` parameter. No files are stored here.

import { platform } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';
import { release, request } from './http.js';
import type { RetryOptions } from './retry.js';

/** One revision of a model on the hub, or in its cache. */
export interface HubModel {
  readonly id: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

export interface HubAccess extends RetryOptions {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token?: string;
}

export interface HubFile {
  readonly name: string;
  readonly size: number;
  /** sha256 of the content for large files (LFS), git's blob sha1 for others; names the cached blob. */
  readonly hash: string;
}

/** The hub's own rule for names: owner/name or a bare name, no "..", no "--". */
export function isHubId(text: string): boolean {
  return /^[A-Za-z0-9][\w.-]{0,95}(\/[A-Za-z0-9][\w.-]{0,95})?$/.test(text) && !/\.\.|--|\.git$/.test(text);
}

export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** `HF_ENDPOINT`, for mirrors, else the hub itself. */
export async function hubEndpoint(): Promise<string> {
  const { HUB_URL } = await import('@huggingface/hub');
  return ((await platform()).environment('HF_ENDPOINT') ?? HUB_URL).replace(/\/+$/, '');
}

/** The token as Python's client finds it: `HF_TOKEN`, else the file that its login writes. */
export async function hubToken(): Promise<string | undefined> {
  const { environment, files } = await platform();
  const given = environment('HF_TOKEN') ?? environment('HUGGING_FACE_HUB_TOKEN');
  if (given || !files) return given?.trim();
  const caches = environment('XDG_CACHE_HOME') ?? files.join(files.homeDirectory, '.cache');
  const home = environment('HF_HOME') ?? files.join(caches, 'huggingface');
  const text = await files.readText(environment('HF_TOKEN_PATH') ?? files.join(home, 'token'));
  return text?.trim() || undefined;
}

/** The commit that a revision stands for now. */
export async function resolveCommit(model: HubModel, access: HubAccess): Promise<string> {
  const { modelInfo } = await import('@huggingface/hub');
  const { sha } = await modelInfo({
    name: model.id,
    revision: model.revision,
    additionalFields: ['sha'],
    hubUrl: access.endpoint,
    fetch: hubFetch(model, access),
  });
  // It becomes a folder's name in the cache.
  if (!isCommit(sha)) throw new CheckpointError(`the hub gave ${quoted(sha)} as the commit of ${model.id}, expected 40 hexadecimal digits`);
  return sha;
}

/** The files at the top of the repository. */
export async function listRepository(model: HubModel, commit: string, access: HubAccess): Promise<HubFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const found: HubFile[] = [];
  const entries = listFiles({ repo: { type: 'model', name: model.id }, revision: commit, hubUrl: access.endpoint, fetch: hubFetch(model, access) });
  for await (const { type, path, size, oid, lfs } of entries) {
    if (type === 'file') found.push({ name: path, size: lfs?.size ?? size, hash: lfs?.oid ?? oid ?? '' });
  }
  return found;
}

/** Refuses a file description that could not be verified, or whose name could leave the cache. */
export function checkHubFile(file: HubFile, model: HubModel): void {
  const what = `${model.id}: the hub describes ${quoted(file.name)}`;
  if (!/^[\w.-]+$/.test(file.name) || /^\.+$/.test(file.name)) throw new CheckpointError(`${what}, which is not a plain file name`);
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.hash)) throw new CheckpointError(`${what} without a usable hash`);
  if (!Number.isSafeInteger(file.size) || file.size < 0) throw new CheckpointError(`${what} with the size ${quoted(file.size)}`);
}

export function fileUrl(model: HubModel, commit: string, fileName: string, access: HubAccess): string {
  return `${access.endpoint}/${model.id}/resolve/${commit}/${encodeURIComponent(fileName)}`;
}

export function authorization(access: HubAccess): Record<string, string> {
  return access.token ? { authorization: `Bearer ${access.token}` } : {};
}

/** GET of one of the repository's files, from a byte on. Refusals become errors that say what to do. */
export async function getFile(model: HubModel, commit: string, fileName: string, access: HubAccess, from = 0): Promise<Response> {
  // Identity, because sizes and hashes are of the bytes as they are.
  const headers = { ...authorization(access), 'accept-encoding': 'identity' };
  const range = from > 0 ? `bytes=${from}-` : undefined;
  const response = await request(fileUrl(model, commit, fileName, access), { ...access, headers, attempts: 1 }, range);
  return accepted(response, model, access, `no file ${fileName} at revision ${model.revision}`);
}

/** The `fetch` that the hub's client is given. */
function hubFetch(model: HubModel, access: HubAccess): typeof fetch {
  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    // The next page's address comes from the answer: the token goes to the endpoint only.
    const auth = new URL(url).origin === new URL(access.endpoint).origin ? authorization(access) : {};
    const headers = { ...(init?.headers as Record<string, string> | undefined), ...auth };
    const response = await request(url, { ...access, headers });
    return accepted(response, model, access, `no model of this name, or no revision ${quoted(model.revision)} of it`);
  };
}

async function accepted(response: Response, model: HubModel, access: HubAccess, absent: string): Promise<Response> {
  const { status } = response;
  if (status < 400 || status === 416) return response;
  await release(response);
  throw new CheckpointError(`${model.id}: ${refusal(status, model, access, absent)}`, { status });
}

function refusal(status: number, model: HubModel, access: HubAccess, absent: string): string {
  if (status === 401) {
    const how = access.token ? 'and the token in HF_TOKEN (or of the login) does not open it' : 'and HF_TOKEN is not set';
    return `the hub does not give access (status 401): there is no such model, or it is private or gated ${how}`;
  }
  if (status === 403) return `access is restricted (status 403): accept its terms at ${access.endpoint}/${model.id} and set HF_TOKEN to a token of that account`;
  if (status === 404) return `the hub has ${absent}`;
  return `the hub answers with status ${status}`;
}
