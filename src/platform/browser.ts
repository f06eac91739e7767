// The platform in a browser (page or worker): no paths, no environment. Files come as the File
// objects of a picker (see `memory.ts`) or over HTTP.

import { browserCache } from './browser-cache.js';
import { browserThreads } from './browser-threads.js';
import { openBrowserGpu } from './browser-gpu.js';
import type { Platform } from './platform.js';

export const browser: Platform = {
  name: 'browser',
  get onPage() { return typeof document === 'object'; },
  get cache() { return browserCache(); },
  environment: () => undefined,
  openGpu: openBrowserGpu,
  threads: browserThreads,
  get memory() { return deviceMemory(); },
};

/** Browsers say it in GiB, and no more than 8 whatever there is: 8 says nothing. */
function deviceMemory(): number | undefined {
  const { deviceMemory: gibibytes } = globalThis.navigator as { deviceMemory?: number };
  return gibibytes === undefined || gibibytes >= 8 ? undefined : gibibytes * 2 ** 30;
}
