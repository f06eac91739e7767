// Running a model: weights, pages, steps, replayed plans.

export { backendNames, createBackend } from './backends.js';
export type { BackendName } from './backends.js';
export { Engine } from './engine.js';
export type { EngineOptions, Traced } from './engine.js';
export { kvFormats } from './kv-format.js';
export type { KvFormat } from './kv-format.js';
export { Runner } from './runner.js';
export type { StepRequest, WantedLogits } from './runner.js';
export type { DrawRequest, Draws } from './sampling.js';
export { assemble, savedConfig, saveWeights, storedParts } from './save.js';
export { Sequence } from './sequence.js';
export { syntheticWeight } from './synthetic.js';
export type { SyntheticFormat } from './synthetic.js';
export { planBinding, WeightsError } from './weights.js';
export type { BindOptions, LoadProgress, WeightFormat } from './weights.js';
