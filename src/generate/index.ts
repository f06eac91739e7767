// Sampling, stopping and streaming.

export { generateBatch } from './batch.js';
export type { BatchOptions, Completion } from './batch.js';
export { benchmark } from './benchmark.js';
export type { BenchmarkOptions, BenchmarkResult } from './benchmark.js';
export { evaluate } from './evaluate.js';
export type { EvaluateOptions, Evaluation } from './evaluate.js';
export { generate, prefill } from './generate.js';
export type { FinishReason, GenerateOptions, Piece } from './generate.js';
export { largest, logProbability, randomSeed, Sampler, seededRandom } from './sampler.js';
export type { SamplingOptions } from './sampler.js';
