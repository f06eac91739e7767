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
};
