/** Compiles the WebAssembly kernels into `folder` (default: dist/backends/wasm) where sources are newer. */
export function buildWasm(folder?: string): Promise<void>;
/** Where the modules lie when the library runs from its sources. */
export const cacheFolder: string;
