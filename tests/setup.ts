// Once, before any test file: compiles the WebAssembly kernels where their sources are newer, so
// that test files in parallel find them and none waits for a compiler.

import { buildWasm, cacheFolder } from '../scripts/build-wasm.mjs';

export default () => buildWasm(cacheFolder);
