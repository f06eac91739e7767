// AdamW (Loshchilov and Hutter, arXiv:1711.05101). Weight decay moves matrices only: norms and biases
// have no direction that decay should shorten.

import { adamwUpdate } from '../../tensor/index.js';
import { zeros } from './optimizer.js';
import type { Optimizer } from './optimizer.js';

export interface AdamWOptions {
  /** Peak learning rate; 1e-3 by default. */
  readonly learningRate?: number;
  /** How slowly the means of gradients and of their squares forget; 0.9 and 0.95 by default. */
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  /** Share of a matrix that is taken away per step, times the learning rate; 0.1 by default. */
  readonly weightDecay?: number;
}

export function adamw({ learningRate = 1e-3, betas: [beta1, beta2] = [0.9, 0.95], epsilon = 1e-8, weightDecay = 0.1 }: AdamWOptions = {}): Optimizer {
  return {
    name: 'adamw',
    learningRate,
    prepare(parameter) {
      const [mean, square] = [zeros(parameter), zeros(parameter)];
      const decay = parameter.shape.length > 1 ? weightDecay : 0;
      return {
        state: { mean, square },
        update(gradient, { step, schedule, gradientScale }) {
          adamwUpdate(parameter.tensor, [mean, square], gradient, { learningRate: learningRate * schedule, beta1, beta2, epsilon, weightDecay: decay, step, gradientScale });
        },
      };
    },
  };
}
