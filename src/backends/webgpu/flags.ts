// WebGPU's own flag values (Node has no globals for them), and where kernels find what all have in common.

export const Usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
export const MAP_READ_MODE = 1;
/** Where kernels that can fail find the fault words. */
export const FAULT_BINDING = 31;
