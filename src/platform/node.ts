// The platform in Node: the environment, the local files and the GPU.

import { totalmem } from 'node:os';
import type { Platform } from './platform.js';
import { nodeFiles } from './node-files.js';
import { openNodeGpu } from './node-gpu.js';
import { keepingHeapSmall } from './node-heap.js';
import { nodeThreads } from './node-threads.js';

export const node: Platform = {
  name: 'node',
  onPage: false,
  environment: (variable) => process.env[variable] || undefined,
  files: nodeFiles,
  openGpu: openNodeGpu,
  threads: nodeThreads,
  keepingHeapSmall,
  get memory() { return Math.min(totalmem(), process.constrainedMemory() || Infinity); },
};
