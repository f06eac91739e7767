// The platform in a browser (page or worker): no paths, no environment. Files come as the File
// objects of a picker (see `memory.ts`) or over HTTP.

import { browserThreads } from './browser-threads.js';
import { openBrowserGpu } from './browser-gpu.js';
import type { Platform } from './platform.js';

export const browser: Platform = {
  name: 'browser',
  environment: () => undefined,
  openGpu: openBrowserGpu,
  threads: browserThreads,
};
