// WebGPU's own flag values: Node has no globals for them.

export const Usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
export const MAP_READ_MODE = 1;
