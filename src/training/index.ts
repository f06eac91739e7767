// `lamella/training`: fresh models, and the loss with its gradients.

export { lossAndGradients } from './gradients.js';
export type { LossAndGradients } from './gradients.js';
export { initialize } from './initialize.js';
export type { InitializeOptions } from './initialize.js';
export { RowStep } from './row_step.js';
