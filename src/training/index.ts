// `lamella/training`: fresh models, gradients, optimisers, and the loop that trains.

export { balanceLoss, sequenceBalanceLoss } from './balance.js';
export type { Sequences } from './batch.js';
export { PackedBatches } from './data/batches.js';
export { packedTokens } from './data/corpus.js';
export { lossAndGradients } from './gradients.js';
export type { LossAndGradients } from './gradients.js';
export { initialize } from './initialize.js';
export type { InitializeOptions } from './initialize.js';
export { adamw } from './optimizers/adamw.js';
export type { AdamWOptions } from './optimizers/adamw.js';
export { muon, muonClip } from './optimizers/muon.js';
export type { MuonClipOptions, MuonOptions } from './optimizers/muon.js';
export { orthogonalized } from './optimizers/newton_schulz.js';
export type { Gradients, Optimizer, Updates } from './optimizers/optimizer.js';
export { RowStep, rowsOf } from './row_step.js';
export type { Rows } from './row_step.js';
export { TrainingRun } from './run.js';
export type { OptimizerName, RunOptions, RunSettings } from './run.js';
export { constant, cosine, schedules, wsd } from './schedule.js';
export type { Schedule, ScheduleName, ScheduleOptions } from './schedule.js';
export { train, trainOn } from './train.js';
export type { Batches, TrainingStep, TrainOptions } from './train.js';
export { DivergedError, Trainer } from './trainer.js';
export type { StepResult, TrainerOptions } from './trainer.js';
