// The whole public interface as one module, for pages without a bundler: `scripts/build-browser.mjs`
// makes dist/browser/lamella.js of it. With a bundler, import from `lamella` and its subpaths.

export * from './index.js';
export { loadTokenizer } from './tokenizer/index.js';
export { dequantize, listCachedFiles, readGguf, readSafetensors, removeCachedFiles } from './checkpoint/index.js';
export type { CachedFileInfo } from './checkpoint/index.js';
export * as analysis from './analysis/index.js';
export * as training from './training/index.js';
