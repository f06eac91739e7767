// AdamW (Loshchilov and Hutter, arXiv:1711.05101). Weight decay moves matrices only: norms and biases
// have no direction that decay should shorten.

import type { Parameter } from '../../nn/index.js';
import { adamwUpdate } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';
import { write, zeros } from './optimizer.js';
import type { Optimizer, Updates } from './optimizer.js';

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
    prepare(parameters): Updates {
      const [first] = parameters;
      const moments = new Map<Parameter, [Tensor, Tensor]>(parameters.map((p) => [p, [zeros(p.tensor, p.shape), zeros(p.tensor, p.shape)]]));
      const rates = first && zeros(first.tensor, [3]);
      return {
        state: new Map([...moments].flatMap(([{ path }, [mean, square]]) => [[`mean.${path}`, mean], [`square.${path}`, square]] as const)),
        begin(step, schedule) {
          if (rates) write(rates, [learningRate * schedule, 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)]);
        },
        apply(gradients, clip) {
          for (const [parameter, own] of moments) {
            const gradient = gradients.get(parameter);
            if (gradient) adamwUpdate(parameter.tensor, own, gradient, rates, clip, { beta1, beta2, epsilon, weightDecay: parameter.shape.length > 1 ? weightDecay : 0 });
          }
        },
        dispose() {
          for (const tensor of [...moments.values()].flat()) tensor.release();
          rates?.release();
        },
      };
    },
  };
}
