// Muon: momentum whose direction is orthogonalised before it moves a matrix. Hidden matrices only,
// each expert by itself; embeddings, head, norms and biases go to AdamW.
//
//   scaling 'original'  Jordan et al., github.com/KellerJordan/Muon: times sqrt(max(1, rows / columns))
//   scaling 'rms'       Moonlight (arXiv:2502.16982, eq. 4): times 0.2 sqrt(max(rows, columns)), which
//                       gives updates the size of AdamW's, so that both share a learning rate
//
// Momentum is written as Moonlight writes it: m = mu m + g, and g + mu m with Nesterov. The factor
// (1 - mu) of Jordan's form goes away when the direction is normalised.
// Matrices of one shape are orthogonalised together, as one batch.
//
// muonClip is Muon with QK-Clip (Kimi K2, arXiv:2507.20534): see qk_clip.ts.

import type { Parameter } from '../../nn/index.js';
import { elementCount, momentum as average, stepAlong } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';
import { adamw } from './adamw.js';
import type { AdamWOptions } from './adamw.js';
import { orthogonalized } from './newton_schulz.js';
import { isHiddenMatrix, write, zeros } from './optimizer.js';
import type { Optimizer, Updates } from './optimizer.js';

export interface MuonOptions {
  /** Peak learning rate of hidden matrices; 0.02 with 'original' scaling, 2e-3 with 'rms'. */
  readonly learningRate?: number;
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
  readonly scaling?: 'original' | 'rms';
  /** Newton-Schulz iterations. */
  readonly iterations?: number;
  /** For everything that is no hidden matrix; its learning rate is Muon's own with 'rms', else 2e-3. */
  readonly adamw?: AdamWOptions;
}

/** Matrices of one shape: where the directions of all lie, [count, rows, columns], and where each begins there. */
interface Batch { readonly stack: Tensor; readonly starts: ReadonlyMap<Parameter, number> }

export function muon(options: MuonOptions = {}): Optimizer {
  const { scaling = 'rms', momentum = 0.95, nesterov = true, weightDecay = 0.1, iterations = 5 } = options;
  const { learningRate = scaling === 'rms' ? 2e-3 : 0.02 } = options;
  const others = adamw({ learningRate: scaling === 'rms' ? learningRate : 2e-3, weightDecay, ...options.adamw });
  const sizeOf = (rows: number, columns: number) => (scaling === 'rms' ? 0.2 * Math.sqrt(Math.max(rows, columns)) : Math.sqrt(Math.max(1, rows / columns)));
  return {
    name: 'muon',
    learningRate,
    prepare(parameters): Updates {
      const hidden = parameters.filter(isHiddenMatrix);
      const rest = others.prepare(parameters.filter((parameter) => !isHiddenMatrix(parameter)));
      const means = new Map(hidden.map((parameter) => [parameter, zeros(parameter.tensor, parameter.shape)]));
      const batches = batchesOf(hidden);
      const rates = hidden.length > 0 ? zeros(hidden[0].tensor, [1]) : undefined;
      return {
        state: new Map([...[...means].map(([{ path }, mean]) => [`mean.${path}`, mean] as const), ...rest.state]),
        begin(step, schedule) {
          rest.begin(step, schedule);
          if (rates) write(rates, [learningRate * schedule]);
        },
        apply(gradients, clip) {
          rest.apply(gradients, clip);
          for (const { stack, starts } of batches) {
            const moved = [...starts].filter(([parameter]) => gradients.has(parameter));
            for (const [parameter, at] of moved) average(means.get(parameter)!, stack, gradients.get(parameter)!, clip, { momentum, nesterov, at });
            const directions = orthogonalized(stack, iterations);
            const size = sizeOf(stack.shape[1], stack.shape[2]);
            for (const [{ tensor }, at] of moved) stepAlong(tensor, directions, rates!, clip, { at, size, weightDecay });
          }
        },
        dispose() {
          rest.dispose();
          for (const tensor of [...means.values(), ...batches.map(({ stack }) => stack)]) tensor.release();
          rates?.release();
        },
      };
    },
  };
}

/** Every expert is a matrix by itself. */
function batchesOf(parameters: readonly Parameter[]): Batch[] {
  const shapes = new Map<string, Parameter[]>();
  for (const parameter of parameters) {
    const key = parameter.shape.slice(-2).join(' x ');
    shapes.set(key, [...(shapes.get(key) ?? []), parameter]);
  }
  return [...shapes.values()].map((alike) => {
    const starts = new Map<Parameter, number>();
    let count = 0;
    for (const parameter of alike) {
      starts.set(parameter, count);
      count += elementCount(parameter.shape);
    }
    const [rows, columns] = alike[0].shape.slice(-2);
    return { stack: zeros(alike[0].tensor, [count / (rows * columns), rows, columns]), starts };
  });
}

export interface MuonClipOptions extends MuonOptions {
  /** Attention scores above this shrink the head that made them; 100 by default. */
  readonly scoreLimit?: number;
}

/** Muon with QK-Clip. */
export function muonClip({ scoreLimit = 100, ...options }: MuonClipOptions = {}): Optimizer {
  return { ...muon(options), name: 'muonclip', scoreLimit };
}
