// What is loaded by address is kept in the browser: a reload asks the server whether files have
// changed and receives nothing again; a change, a full storage and a cut load are noticed.

import { stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { chromiumPath, closePage, inChromium, loadAddress, openPage, press, speakingModel, stories15M, takeAnswered, useSite } from './support.js';
import type { Site } from './support.js';

/** Bytes that the server sent of model files since the last call. */
const sentBytes = (site: Site): number => takeAnswered(site).reduce((sum, { bytes }) => sum + bytes, 0);
const kept = (page: Page): Promise<string[]> => page.$$eval('#kept li', (items) => items.map((item) => item.textContent!));

for (const ranges of [true, false]) describe.skipIf(!chromiumPath)(inChromium(ranges ? 'a server that sends parts of files' : 'a server that sends whole files only'), () => {
  const site = useSite({ ranges });

  it('a reload loads the kept copy', async () => {
    const directory = await speakingModel(site);
    const { size } = await stat(join(directory, 'model.safetensors'));
    const page = await openPage(site);
    const address = `${site.server.url}models/qwen3`;
    takeAnswered(site);
    expect(await loadAddress(page, address)).toContain('wasm on');
    expect(sentBytes(site)).toBeGreaterThan(size);
    await press(page, '#generate-button');
    const text = await page.textContent('#output');
    await page.reload();
    await expect.poll(async () => (await kept(page)).filter((line) => line.startsWith(address)).length).toBe(3);
    expect(await loadAddress(page, address)).toContain('wasm on');
    // One byte of each file says how large and of which version it is. A server that knows no parts begins to send: it is cut short.
    if (ranges) expect(sentBytes(site)).toBeLessThan(10);
    await press(page, '#generate-button');
    expect(await page.textContent('#output')).toBe(text);
    await page.click('#forget');
    await expect.poll(() => kept(page)).toEqual([expect.stringMatching(/^Nothing\./)]);
    await closePage(page);
  });
});

describe.skipIf(!chromiumPath)(inChromium('kept files'), () => {
  const site = useSite();

  it('are fetched anew when the server has another version', async () => {
    const weights = join(await speakingModel(site), 'model.safetensors');
    const { size } = await stat(weights);
    const page = await openPage(site);
    await loadAddress(page, `${site.server.url}models/qwen3`);
    await utimes(weights, new Date(), new Date(Date.now() - 3_600_000));
    takeAnswered(site);
    expect(await loadAddress(page, `${site.server.url}models/qwen3`)).toContain('wasm on');
    expect(sentBytes(site)).toBeGreaterThan(size);
    // The older version is gone.
    expect((await kept(page)).filter((line) => line.includes('model.safetensors')).length).toBe(1);
    await closePage(page);
  });

  it('are done without where the storage is too small, which is said', async () => {
    await speakingModel(site);
    const page = await openPage(site);
    const session = await page.context().newCDPSession(page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.server.url).origin, quotaSize: 100_000 });
    expect(await loadAddress(page, `${site.server.url}models/qwen3`)).toContain('wasm on');
    expect(await page.textContent('#warning')).toMatch(/model\.safetensors is not kept in the browser's storage, it will be downloaded again next time: the browser gives no more room/);
    expect((await kept(page)).filter((line) => line.includes('model.safetensors'))).toEqual([]);
    await page.fill('#max-tokens', '3');
    await press(page, '#generate-button');
    expect(await page.textContent('#speed')).toMatch(/^3 tokens/);
    await closePage(page);
  });

  it.skipIf(!stories15M.directory)(`of a load that was stopped are the beginning of the next (${stories15M.title})`, async () => {
    const page = await openPage(site);
    const { size } = await stat(join(stories15M.directory!, 'model.safetensors'));
    takeAnswered(site);
    await page.fill('#address', `${site.server.url}shared/assets/checkpoints/stories15M`);
    await page.click('#load-button');
    await page.waitForFunction(() => (document.getElementById('progress') as HTMLProgressElement).value > 0.3);
    await page.click('#stop');
    await page.waitForFunction(() => document.getElementById('status')!.textContent === 'Stopped.');
    await expect.poll(() => page.workers().length).toBe(0);
    const first = takeAnswered(site).filter(({ path }) => path.endsWith('.safetensors')).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(await press(page, '#load-button')).toContain('wasm on');
    const second = takeAnswered(site).filter(({ path }) => path.endsWith('.safetensors')).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(second).toBeLessThan(size * 0.75);
    // What was under way when it was stopped is asked for again.
    expect(first + second).toBeLessThan(size + 17 * 2 ** 20);
    await closePage(page);
  });
});
