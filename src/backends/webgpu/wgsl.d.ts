// The text of kernels/*.wgsl by file name without its ending; scripts/build-wgsl.mjs writes wgsl.js.
export declare const sources: Readonly<Record<string, string>>;
