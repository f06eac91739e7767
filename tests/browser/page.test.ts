// The example page in Chromium, used as a person would: files and addresses, threads, streaming,
// stopping, unloading, and a page that stays responsive all the while.

import type { CDPSession } from 'playwright-core';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/index.js';
import { brokenModel, chromiumPath, closePage, inChromium, loadAddress, openPage, pick, press, SLOW, SOFTWARE_GPU, speakingModel, stories15M, useSite } from './support.js';
import type { Site, SpeakingModel } from './support.js';

const small: SpeakingModel = { title: 'a reference model' };

/** What Node writes after the page's prompt. */
async function expectedText(directory: string, maxTokens: number): Promise<string> {
  const model = await loadModel(directory, { backend: 'wasm', threads: 1 });
  let text = 'Once upon a time';
  for await (const piece of model.generate(text, { maxTokens, temperature: 0 })) text += piece.text;
  await model.dispose();
  return text;
}

const addressOf = (site: Site, { directory }: SpeakingModel): string => (directory ? `${site.server.url}shared/assets/checkpoints/stories15M` : `${site.server.url}models/qwen3`);

interface Kind { readonly title: string; readonly isolated: boolean; readonly backend: 'wasm' | 'webgpu'; readonly args?: readonly string[]; readonly tokens: number }

const kinds: readonly Kind[] = [
  { title: 'a cross-origin isolated page', isolated: true, backend: 'wasm', tokens: 30 },
  { title: 'a page without isolation', isolated: false, backend: 'wasm', tokens: 30 },
  // In software a step of stories15M takes seconds.
  { title: 'a page with WebGPU', isolated: true, backend: 'webgpu', args: SOFTWARE_GPU, tokens: 4 },
];

for (const { title, isolated, backend, args, tokens } of kinds) {
  describe.skipIf(!chromiumPath)(inChromium(title), () => {
    const site = useSite({ isolated, args });
    const usePage = async () => {
      const page = await openPage(site);
      await page.selectOption('#backend', backend);
      return page;
    };
    for (const model of [small, stories15M]) describe.skipIf(model === stories15M && !model.directory)(model.title, () => {
      it('runs from a file picker and by URL, streams, and never keeps its own thread busy for 50 ms', async () => {
        const directory = model.directory ?? await speakingModel(site);
        const page = await usePage();
        await page.fill('#max-tokens', String(tokens));
        await site.browser.startTracing(page, { categories: ['toplevel'] });
        // Text that arrives at once would change the page once.
        await page.evaluate(() => {
          const counts = Object.assign(window, { changes: 0 });
          new MutationObserver(() => { counts.changes++; }).observe(document.getElementById('output')!, { characterData: true, subtree: true });
        });
        const processors = await page.evaluate(() => navigator.hardwareConcurrency);
        const threads = isolated ? Math.min(8, processors) : 1;
        const expected = await expectedText(directory, tokens);
        for (const status of [await pick(page, directory), await loadAddress(page, addressOf(site, model))]) {
          expect(status).toContain(backend === 'wasm' ? `wasm on ${threads} ${threads === 1 ? 'thread' : 'threads'},` : 'webgpu, ');
          // Those of the model before may be on their way out.
          await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(isolated && backend === 'wasm' ? 1 + threads : 1);
          await press(page, '#generate-button');
          expect(await page.textContent('#output')).toBe(expected);
        }
        expect(await page.evaluate(() => (window as unknown as { changes: number }).changes)).toBeGreaterThan(tokens);
        expect(longestTask(await site.browser.stopTracing())).toBeLessThan(50);
        await closePage(page);
      }, SLOW);
    });

    it('stops a text where it is asked to, and can go on', async () => {
      await speakingModel(site);
      const page = await usePage();
      await loadAddress(page, addressOf(site, small));
      await page.fill('#max-tokens', '400');
      await page.fill('#temperature', '0');
      // From within the page, so that the text cannot have ended before the button is pressed.
      await page.evaluate(() => {
        const [speed, stop] = [document.getElementById('speed')!, document.getElementById('stop')!];
        new MutationObserver((_, observer) => {
          if (!speed.textContent.startsWith('4 tokens')) return;
          observer.disconnect();
          stop.click();
        }).observe(speed, { childList: true, characterData: true, subtree: true });
      });
      await press(page, '#generate-button');
      // 4, and those that were on their way.
      expect(Number.parseInt((await page.textContent('#speed'))!)).toBeLessThan(200);
      await page.fill('#max-tokens', '3');
      await press(page, '#generate-button');
      expect(await page.textContent('#speed')).toMatch(/^3 tokens/);
      await closePage(page);
    });

    // Where /proc tells how much memory a process has.
    it.skipIf(process.platform !== 'linux')(`gives its memory back when models are unloaded, time after time${process.platform === 'linux' ? '' : ' (needs Linux)'}`, async () => {
      const directory = stories15M.directory ?? await speakingModel(site);
      const page = await usePage();
      await page.fill('#max-tokens', backend === 'wasm' ? '5' : '2');
      const session = await site.browser.newBrowserCDPSession();
      const collector = await page.context().newCDPSession(page);
      const [before, after]: number[][] = [[], []];
      for (let i = 0; i < 4; i++) {
        await pick(page, directory);
        await press(page, '#generate-button');
        await press(page, '#unload');
        await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);
        // The page's own garbage (messages, the tokenizer's files) is nobody's leak.
        await collector.send('HeapProfiler.collectGarbage');
        (i < 2 ? before : after).push(await settledMegabytes(session));
      }
      // A model that stayed would add its weights, its workers and 16 MB of WebAssembly memory each time.
      expect(Math.min(...after)).toBeLessThan(Math.max(...before) + 32);
      await closePage(page);
    }, SLOW);

    it('says what is wrong in one sentence, and goes on', async () => {
      await speakingModel(site);
      const page = await usePage();
      expect(await loadAddress(page, `${site.server.url}models/nothing`)).toMatch(/^That did not work: http.* has no config\.json/);
      // This one is found out after threads were started.
      expect(await pick(page, await brokenModel(site))).toMatch(/^That did not work: the checkpoint has no tensor 'model\.layers\.3\./);
      await expect.poll(() => page.workers().length, { timeout: 10_000 }).toBe(0);
      expect(await loadAddress(page, addressOf(site, small))).toContain(backend);
      await closePage(page);
    });

    if (backend === 'wasm') it('runs on WebAssembly where there is no WebGPU, and says so', async () => {
      await speakingModel(site);
      const page = await openPage(site);
      await page.selectOption('#backend', 'webgpu');
      expect(await loadAddress(page, addressOf(site, small))).toContain('wasm on');
      expect(await page.textContent('#warning')).toMatch(/^Not on the GPU: this browser (offers no WebGPU here|has WebGPU but found no usable GPU).* Using WebAssembly\.$/);
      await closePage(page);
    });
  });
}

/** Milliseconds of processor time of the longest task on a page's main thread. Unlike time on a clock it does not grow when others use the machine. */
function longestTask(trace: Buffer): number {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: { name: string; pid: number; tid: number; tdur?: number; args: { name?: string } }[] };
  const mains = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid}/${tid}`));
  const tasks = traceEvents.filter(({ name, pid, tid, tdur }) => name === 'ThreadControllerImpl::RunTask' && tdur !== undefined && mains.has(`${pid}/${tid}`));
  expect(tasks.length).toBeGreaterThan(100);
  return Math.max(...tasks.map(({ tdur }) => tdur! / 1000));
}

/** Resident memory of all page processes, once it has stopped falling. */
async function settledMegabytes(session: CDPSession): Promise<number> {
  let [least, calm] = [Infinity, 0];
  while (calm < 4) {
    await new Promise((resolve) => { setTimeout(resolve, 250); });
    const now = await residentMegabytes(session);
    calm = now < least - 1 ? 0 : calm + 1;
    least = Math.min(least, now);
  }
  return least;
}

async function residentMegabytes(session: CDPSession): Promise<number> {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const sizes = await Promise.all(processInfo.filter(({ type }) => type === 'renderer').map(async ({ id }) => {
    const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  }));
  return sizes.reduce((a, b) => a + b, 0);
}
