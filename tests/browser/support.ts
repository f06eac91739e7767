// Chromium, the example page, and what tests look at. The library is bundled from its sources, so
// that nothing stale is tested.

import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium as playwright } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { exampleRoots, serve } from '../../examples/browser/serve.mjs';
import type { Answered, Server } from '../../examples/browser/serve.mjs';
import { buildBrowser } from '../../scripts/build-browser.mjs';
import { modelDirectory, shared } from '../support.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Where Chromium is; undefined: nowhere, and the tests are skipped. */
export const chromiumPath = [process.env.CHROME_PATH, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome']
  .find((path) => path && existsSync(path));

/** A title that says why the tests are skipped where they are. */
export const inChromium = (name: string): string => (chromiumPath ? name : `${name} (needs Chromium: set CHROME_PATH)`);

/** Milliseconds for what a GPU in software does on a busy machine, where kernels take minutes to compile. */
export const SLOW = 300_000;

/** The GPU in software that Chromium brings along. */
export const SOFTWARE_GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** A model that speaks: a reference model with a tokenizer of 256 bytes, or the trained one. */
export interface SpeakingModel { readonly title: string; readonly directory?: string }
const stories = join(shared, 'assets/checkpoints/stories15M');
export const stories15M: SpeakingModel = existsSync(stories) ? { title: 'stories15M', directory: stories } : { title: 'stories15M (needs ../shared)' };

/** Which folders a test file uses: everything it serves and builds lies in one of its own. */
export interface Site { readonly folder: string; readonly models: string; browser: Browser; server: Server; readonly answered: Answered[] }

export interface SiteOptions { readonly args?: readonly string[]; readonly isolated?: boolean; readonly ranges?: boolean; readonly entries?: Readonly<Record<string, string>> }

/** Starts Chromium and a server around the tests of a file or suite. */
export function useSite({ args = [], entries, ...options }: SiteOptions = {}): Site {
  const folder = join(root, 'node_modules/.cache', `browser-${process.pid}-${counter++}`);
  const site = { folder, models: join(folder, 'models'), answered: [] as Answered[] } as unknown as Site;
  beforeAll(async () => {
    await buildBrowser(join(folder, 'library'), entries);
    await mkdir(site.models, { recursive: true });
    const roots = { ...exampleRoots, '/lamella/': join(folder, 'library'), '/models/': site.models, '/reference/': join(root, 'tests/data/models'), '/shared/': shared };
    site.server = await serve({ ...options, roots, onRequest: (answer) => site.answered.push(answer) });
    // As root, which containers often run tests as, Chromium starts only without its sandbox.
    site.browser = await playwright.launch({ executablePath: chromiumPath, args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), ...args] });
  });
  afterAll(async () => {
    await site.browser?.close();
    await site.server?.close();
    await rm(folder, { recursive: true, force: true });
  });
  return site;
}
let counter = 0;

/** Opens the example page, in a profile of its own, and holds it to raising no error. */
export async function openPage({ browser, server }: Site): Promise<Page & { errors: string[] }> {
  const context = await browser.newContext();
  const page = Object.assign(await context.newPage(), { errors: [] as string[] });
  page.setDefaultTimeout(SLOW);
  page.on('pageerror', (error) => page.errors.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error' && !message.text().includes('404')) page.errors.push(message.text()); });
  await page.goto(server.url);
  return page;
}

export async function closePage(page: Page & { errors: string[] }): Promise<void> {
  expect(page.errors).toEqual([]);
  await page.context().close();
}

/** Presses a button of the page and waits until it is done; returns what the status line says. */
export async function press(page: Page, button: '#load-button' | '#generate-button' | '#unload'): Promise<string> {
  await page.click(button);
  await page.waitForFunction(() => (document.getElementById('stop') as HTMLButtonElement).disabled);
  return (await page.textContent('#status'))!;
}

export async function pick(page: Page, directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => /^(config|tokenizer.*|model)\.(json|safetensors)$/.test(name));
  await page.setInputFiles('#files', names.map((name) => join(directory, name)));
  return press(page, '#load-button');
}

export async function loadAddress(page: Page, url: string): Promise<string> {
  await page.fill('#address', url);
  return press(page, '#load-button');
}

/** Gives a reference model a voice: byte-level BPE without merges, ids 0 to 255. */
export async function speakingModel(site: Site, reference = 'qwen3'): Promise<string> {
  const folder = join(site.models, reference);
  if (existsSync(folder)) return folder;
  await mkdir(folder, { recursive: true });
  for (const name of ['config.json', 'model.safetensors']) await copyFile(join(modelDirectory(reference)!, name), join(folder, name));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(byteTokenizer()));
  return folder;
}

/** A model whose config asks for more layers than there are weights. */
export async function brokenModel(site: Site): Promise<string> {
  const folder = join(site.models, 'broken');
  await mkdir(folder, { recursive: true });
  const whole = modelDirectory('qwen3')!;
  await copyFile(join(whole, 'model.safetensors'), join(folder, 'model.safetensors'));
  const config = JSON.parse(await readFile(join(whole, 'config.json'), 'utf8'));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: config.num_hidden_layers + 1, layer_types: undefined }));
  return folder;
}

/** GPT-2's printable stand-ins for bytes, in the order of the bytes. */
function byteTokenizer() {
  let next = 256;
  const characters = Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : next++);
  });
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return { version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: level, post_processor: null, decoder: level, model: { type: 'BPE', vocab: Object.fromEntries(characters.map((c, id) => [c, id])), merges: [] } };
}

/** Requests of model files since the last call. */
export function takeAnswered(site: Site): Answered[] {
  return site.answered.splice(0).filter(({ path }) => !path.startsWith('/lamella/') && /\.(json|safetensors|gguf|jinja|model|txt)$/.test(path));
}
