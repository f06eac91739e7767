// Muon: momentum whose direction is orthogonalised before it moves a matrix. Hidden matrices only,
// each expert by itself; embeddings, head, norms and biases go to AdamW.
//
//   scaling 'original'  Jordan et al., github.com/KellerJordan/Muon: times sqrt(max(1, rows / columns))
//   scaling 'rms'       Moonlight (arXiv:2502.16982, eq. 4): times 0.2 sqrt(max(rows, columns)), which
//                       gives updates the size of AdamW's, so that both share a learning rate
//
// Momentum is written as Moonlight writes it: m = mu m + g, and g + mu m with Nesterov. The factor
// (1 - mu) of Jordan's form goes away when the direction is normalised.
// muonClip is Muon with QK-Clip (Kimi K2, arXiv:2507.20534): see qk_clip.ts.

import { add, copyInto, scale } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';
import { adamw } from './adamw.js';
import type { AdamWOptions } from './adamw.js';
import { orthogonalized } from './newton_schulz.js';
import { isHiddenMatrix, zeros } from './optimizer.js';
import type { Optimizer } from './optimizer.js';

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

export function muon(options: MuonOptions = {}): Optimizer {
  const { scaling = 'rms', momentum = 0.95, nesterov = true, weightDecay = 0.1, iterations = 5 } = options;
  const { learningRate = scaling === 'rms' ? 2e-3 : 0.02 } = options;
  const others = adamw({ learningRate: scaling === 'rms' ? learningRate : 2e-3, weightDecay, ...options.adamw });
  return {
    name: 'muon',
    learningRate,
    prepare(parameter) {
      if (!isHiddenMatrix(parameter)) return others.prepare(parameter);
      const mean = zeros(parameter);
      const [rows, columns] = parameter.shape.slice(-2);
      const size = scaling === 'rms' ? 0.2 * Math.sqrt(Math.max(rows, columns)) : Math.sqrt(Math.max(1, rows / columns));
      return {
        state: { mean },
        update(gradient, { schedule, gradientScale }) {
          const rate = learningRate * schedule;
          const slope = scaled(gradient, gradientScale);
          copyInto(mean, add(scale(mean, momentum), slope));
          const direction = orthogonalized(nesterov ? add(slope, scale(mean, momentum)) : mean, iterations);
          copyInto(parameter.tensor, add(scale(parameter.tensor, 1 - rate * weightDecay), scale(direction, -rate * size)));
        },
      };
    },
  };
}

export interface MuonClipOptions extends MuonOptions {
  /** Attention scores above this shrink the head that made them; 100 by default. */
  readonly scoreLimit?: number;
}

/** Muon with QK-Clip. */
export function muonClip({ scoreLimit = 100, ...options }: MuonClipOptions = {}): Optimizer {
  return { ...muon(options), name: 'muonclip', scoreLimit };
}

const scaled = (x: Tensor, factor: number): Tensor => (factor === 1 ? x : scale(x, factor));
