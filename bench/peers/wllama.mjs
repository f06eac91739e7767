// Lamella and wllama (llama.cpp compiled to WebAssembly) in Chromium on the same GGUF file of made-up
// weights, by turns, each in a page of its own that stays loaded. A table on stderr, everything on
// stdout as JSON. See ../README.md.
//
//   node bench/peers/wllama.mjs FOLDER [--model qwen3-0.6b] [--layers N] [--weights q8_0] [--threads 2]
//                                      [--prompt 128] [--generate 32] [--pairs 5] [--file model.gguf]
//
// FOLDER is where `npm install @wllama/wllama` was run. CHROME_PATH names the browser.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { serve } from '../../examples/browser/serve.mjs';
import { distFolder } from './dist.mjs';
import { fail, manifestOf, prepare, race, readOptions, report, settingsOf, warnIfBusy } from './race.mjs';

const options = readOptions({ prompt: '128', generate: '32' });
const manifest = manifestOf(options.folder, '@wllama/wllama');
const executablePath = [process.env.CHROME_PATH, '/usr/bin/chromium', '/usr/bin/google-chrome'].find((file) => file && existsSync(file)) ?? fail('Chromium is not installed: set CHROME_PATH');

/** Letters that the made-up vocabulary never merges: as many tokens as there are letters, the same for both. */
const text = Array.from({ length: options.prompt }, (_, i) => 'qrstuvwxyz'[(i * 7919 + (i * i) % 13) % 10]).join('');

async function start(browser, url, name, file) {
  // A context for each side, so that they are processes of their own.
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(0);
  page.on('pageerror', (error) => fail(`${name}: ${error}`));
  await page.goto(url);
  await page.waitForFunction('window.ready');
  await page.setInputFiles('#file', file);
  const settings = { threads: options.threads, text, generate: options.generate, batch: Math.max(512, options.prompt) };
  const loaded = await page.evaluate(([side, given]) => window.load(side, given), [name, settings]);
  if (loaded.threads !== options.threads) fail(`${name} runs on ${loaded.threads} threads instead of ${options.threads}`);
  const run = async () => {
    const { prompt, ...figures } = await page.evaluate(() => window.run());
    return prompt === options.prompt ? figures : fail(`${name} read ${prompt} tokens instead of ${options.prompt}`);
  };
  return { loaded, run };
}

process.on('SIGINT', () => process.exit(130));
const machine = warnIfBusy(options.threads);
const prepared = await prepare(options);
const roots = { '/': fileURLToPath(new URL('./wllama', import.meta.url)), '/lamella/': path.join(distFolder, 'browser'), '/wllama/': path.join(path.dirname(manifest), 'esm') };
const server = await serve({ roots });
const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
try {
  const [ours, theirs] = [await start(browser, server.url, 'lamella', prepared.file), await start(browser, server.url, 'wllama', prepared.file)];
  const results = await race(ours, theirs, options.pairs);
  report('wllama', results, {
    ...settingsOf(options, prepared),
    versions: { chromium: browser.version(), wllama: JSON.parse(readFileSync(manifest, 'utf8')).version },
    machine, loadMs: { ours: ours.loaded.loadMs, theirs: theirs.loaded.loadMs },
  });
} finally {
  await browser.close();
  await server.close();
}
