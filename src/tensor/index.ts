// The tensor core: element types, tensors and scopes, ops, the tape, and the backend interface.

export { MEMORY64_CAPACITY, WASM_CAPACITY } from './backend.js';
export type { Attrs, Backend, BufferId, Call, Operand, Plan, StreamCounts, StreamedBuffer } from './backend.js';
export { Device } from './device.js';
export type { Capture } from './device.js';
export * from './dtype.js';
export { fuse, RULES } from './fuse.js';
export { allOps, describeSpec, getOp } from './op.js';
export type { Cost, CostContext, Op } from './op.js';
export * from './ops/index.js';
export { currentPath, withPath } from './path.js';
export { isRecording, recomputed, recordTape, Tape } from './tape.js';
export { apply, empty, fromArray, fromBytes, reshape, scope, streamed, Tensor } from './tensor.js';
export { checkBytes, decodeRow, View } from './view.js';
