// The platform in Node: the environment and the local files.

import type { Platform } from './platform.js';
import { nodeFiles } from './node-files.js';

export const node: Platform = {
  name: 'node',
  environment: (variable) => process.env[variable] || undefined,
  files: nodeFiles,
};
