// 64-bit addresses in Chromium, which has them whatever Node has: above 4 GiB every op and every reference
// model of the repository gives the bits that it gives with 32-bit ones.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { chromiumPath, closePage, inChromium, openPage, useSite } from './support.js';

const library = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describe.skipIf(!chromiumPath)(inChromium('64-bit addresses'), () => {
  const site = useSite({ isolated: true, entries: { memory64: library('./memory64_entry.ts'), lamella: library('../../src/browser.ts'), worker: library('../../src/remote/worker.ts') } });

  it('ops and reference models give the same bits', async () => {
    const page = await openPage(site);
    const models = readdirSync(library('../data/models')).map((name) => `${site.server.url}reference/${name}`);
    expect(models.length).toBeGreaterThan(0);
    const { found, failed } = await page.evaluate((urls) => new Promise<{ found?: string[]; failed?: string }>((resolve) => {
      const worker = new Worker('/lamella/memory64.js', { type: 'module' });
      worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
      worker.onerror = (event) => resolve({ failed: event.message });
      worker.postMessage(urls);
    }), models);
    expect(failed).toBeUndefined();
    expect(found).toEqual([]);
    await closePage(page);
  });
});
