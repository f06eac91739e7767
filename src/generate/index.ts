// Sampling, stopping and streaming.

export { generate, prefill, PREFILL_CHUNK } from './generate.js';
export type { FinishReason, GenerateOptions, Piece } from './generate.js';
export { largest, logProbability, Sampler, seededRandom } from './sampler.js';
export type { SamplingOptions } from './sampler.js';
