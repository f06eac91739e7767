// `lamella`: load a model and run it.

export { loadModel, Model } from './model.js';
export type { LoadOptions, Prompt } from './model.js';
export type { BatchOptions, Completion, FinishReason, GenerateOptions, Piece, SamplingOptions } from './generate/index.js';
export type { BackendName, KvFormat, LoadProgress, Sequence, StepRequest, Traced, WantedLogits, WeightFormat } from './engine/index.js';
export type { CheckpointSource, DownloadProgress } from './checkpoint/index.js';
export type { ChatMessage, Tokenizer } from './tokenizer/index.js';
export { CheckpointError } from './checkpoint/index.js';
export { ConfigError } from './models/index.js';
export { WeightsError } from './engine/index.js';
