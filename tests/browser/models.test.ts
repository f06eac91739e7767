// Reference models through the page's own interface: the logits and greedy tokens of Hugging Face
// transformers, on threads, on one thread, and on WebGPU; and what of a Model works in a page.

import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as library from '../../src/browser.js';
import type { Model } from '../../src/index.js';
import { modelDirectory, readArrays, relativeError, titled } from '../support.js';
import { chromiumPath, closePage, inChromium, openPage, SOFTWARE_GPU, speakingModel, useSite } from './support.js';

const TOLERANCE = 1e-3;
const PROMPT = 11;

/** What the page keeps between calls. */
type Held = Window & { lamella: typeof library; model: Model };

interface Settings { readonly title: string; readonly backend: 'wasm' | 'webgpu'; readonly isolated: boolean; readonly args?: readonly string[] }

const families = ['gpt2', 'llama3', 'olmo2', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3'];
const settings: readonly Settings[] = [
  { title: 'WebAssembly on threads', backend: 'wasm', isolated: true },
  { title: 'WebAssembly on one thread', backend: 'wasm', isolated: false },
  { title: 'WebGPU', backend: 'webgpu', isolated: true, args: SOFTWARE_GPU },
];

for (const { title, backend, isolated, args } of settings) describe.skipIf(!chromiumPath)(inChromium(title), () => {
  const site = useSite({ isolated, args });
  let page: Page & { errors: string[] };
  beforeAll(async () => {
    page = await openPage(site);
    // As a script of the page: vitest would rewrite an import() in a function of this file.
    await page.addScriptTag({ type: 'module', content: "import * as lamella from '/lamella/lamella.js'; window.lamella = lamella;" });
    await page.waitForFunction(() => 'lamella' in window);
  });
  afterAll(() => closePage(page));

  const load = (url: string) => page.evaluate(async ([address, name]) => {
    const held = window as unknown as Held;
    held.model = await held.lamella.loadModel(address, { backend: name as 'wasm' | 'webgpu' });
    return { backend: held.model.backend, family: held.model.family };
  }, [url, backend] as const);
  const dispose = () => page.evaluate(async () => { await (window as unknown as Held).model.dispose(); });

  for (const name of families) it.skipIf(!modelDirectory(name))(titled(name), async () => {
    const reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
    const [ids, logits, greedy] = ['input_ids', 'logits', 'greedy'].map((key) => reference.get(key)!);
    const tokens = ids.shape[1];
    const first = [...ids.data.slice(0, tokens)];
    expect(await load(`${site.server.url}reference/${name}`)).toMatchObject({ backend });
    const got = await page.evaluate(async (given) => [...(await (window as unknown as Held).model.logits(given)).data], first);
    expect(relativeError(got, logits.data.slice(0, tokens * logits.shape[2]))).toBeLessThan(TOLERANCE);
    const continued = await page.evaluate(async ([prompt, maxTokens]) => {
      const found: number[] = [];
      for await (const { token } of (window as unknown as Held).model.generate(prompt, { maxTokens, temperature: 0, ignoreEos: true })) found.push(token);
      return found;
    }, [first.slice(0, PROMPT), greedy.data.length] as const);
    expect(continued).toEqual([...greedy.data]);
    await dispose();
  });

  if (backend === 'wasm' && isolated) it("gives a page the whole of a model's interface but its engine", async () => {
    await speakingModel(site);
    await load(`${site.server.url}models/qwen3`);
    const seen = await page.evaluate(async () => {
      const { model, lamella } = window as unknown as Held;
      const thrown = async (action: () => unknown) => { try { await action(); return undefined; } catch (error) { return { message: (error as Error).message, range: error instanceof RangeError }; } };
      const trace = await model.trace([1, 2, 3], { capture: ['layers.0', 'norm'] });
      const aborted = AbortSignal.abort();
      let left = 0;
      for await (const piece of model.generate('ab', { maxTokens: 50, ignoreEos: true })) if (piece.token >= 0 && ++left === 2) break;
      const results = {
        encoded: model.encode('ab'), decoded: model.tokenizer!.decode([97, 98]), size: model.tokenizer!.vocabularySize,
        traced: [...trace].map(([path, { shape, data }]) => [path, [...shape], data.length]),
        config: model.config.model_type, vocabulary: model.vocabularySize, skipped: [...model.skippedTensors], left,
        aborted: (await model.generate('ab', { signal: aborted }).next()).value as unknown,
        outside: await thrown(() => model.logits([9999])), engine: await thrown(() => model.engine), step: await thrown(() => model.step([])),
        missing: await thrown(() => lamella.loadModel('http://127.0.0.1:9/none.gguf', { onWarning() {}, signal: AbortSignal.timeout(200) })),
      };
      await model.dispose();
      await model.dispose();
      return { ...results, after: await thrown(() => model.logits([1])) };
    });
    expect(seen).toMatchObject({ encoded: [97, 98], decoded: 'ab', size: 256, config: 'qwen3', vocabulary: 272, skipped: [], left: 2, aborted: 'aborted' });
    expect(seen.traced).toEqual([['layers.0', [3, 64], 192], ['norm', [3, 64], 192]]);
    expect(seen.outside).toMatchObject({ message: 'token id 9999 is not in the vocabulary (0 to 271)', range: true });
    expect(seen.engine?.message).toContain('runs in a worker');
    expect(seen.step?.message).toContain('runs in a worker');
    expect(seen.missing).toBeDefined();
    expect(seen.after?.message).toBe('the model was disposed');
  });
});
