// The public face of `lamella/checkpoint`: reading and writing checkpoints as they are stored.

export { CheckpointError } from './error.js';
export { openCheckpoint } from './checkpoint.js';
export type { Checkpoint, OpenCheckpointOptions } from './checkpoint.js';
export { hasNonFinite, toFloat32 } from './decode.js';
export { dequantize } from './gguf/dequantize.js';
export { isGgufDirectory, openGguf } from './gguf/checkpoint.js';
export type { GgufDirectory } from './gguf/checkpoint.js';
export { convertToGguf } from './gguf/convert.js';
export type { Converted, ConvertOptions, GgufFormat } from './gguf/convert.js';
export { readGguf } from './gguf/read.js';
export type { Gguf } from './gguf/read.js';
export type { MetadataValue } from './gguf/header.js';
export { writeGguf } from './gguf/write.js';
export type { GgufStream, WritableMetadata, WritableValue } from './gguf/write.js';
export { blockBytes, blockSize, isBlockFormat } from './gguf/types.js';
export type { GgufType } from './gguf/types.js';
export { openHubRepository } from './hub.js';
export type { DownloadProgress, HubOptions } from './hub.js';
export { listCachedFiles, removeCachedFiles } from './kept.js';
export { resolveSource } from './source.js';
export { zooNames } from './zoo.js';
export type { CheckpointSource } from './source.js';
export { readSafetensors, writeSafetensors } from './safetensors.js';
export type { Safetensors, SafetensorsStream, WritableTensor } from './safetensors.js';
export type { StoredTensor } from './stored.js';
export type { ByteSource, CachedFileInfo, Directory, DirectoryWriter } from '../platform/index.js';
