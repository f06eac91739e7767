// How a model is cut over several devices: tensor parallel within a machine, pipeline stages over
// machines, experts spread where cutting each of them would not come out even.

import { FP8_BLOCK } from '../formats.js';
import type { WeightFormat } from '../formats.js';
import type { Hardware } from './hardware.js';
import type { Profile } from './profile.js';

export interface Layout {
  readonly devices: number;
  readonly nodes: number;
  /** Every matrix is cut in so many parts. */
  readonly tensor: number;
  /** The layers are cut in so many runs, one after another. */
  readonly pipeline: number;
  /** Whole copies of the model (or of the stages), each with sequences of its own. */
  readonly data: number;
  /** Routed experts are spread whole instead of each being cut. */
  readonly experts: boolean;
  /** Into how many parts one sequence's cache is cut: key heads and stages. MLA's latent row is needed whole by all heads. */
  readonly cacheShards: number;
}

/** Why tensor parallelism over `size` devices is impossible, in words; undefined: it is possible. */
export function tensorObstacle({ layers }: Profile, size: number, format: WeightFormat, spreadExperts: boolean): string | undefined {
  for (const { heads, kvHeads, latent, mlp } of layers) {
    if (heads % size !== 0) return `${heads} heads cannot be divided over ${size} devices`;
    if (!latent && kvHeads % size !== 0 && size % kvHeads !== 0) return `${kvHeads} key heads neither divide nor are divided by ${size} devices`;
    if (!mlp) continue;
    const widths = mlp.kind === 'dense' ? [mlp.hidden] : [...(spreadExperts ? [] : [mlp.hidden]), ...(mlp.sharedHidden > 0 ? [mlp.sharedHidden] : [])];
    if (mlp.kind === 'moe' && spreadExperts && mlp.experts % size !== 0) return `${mlp.experts} experts cannot be divided over ${size} devices`;
    for (const width of widths) {
      if (width % size !== 0) return `feed-forwards of ${width} cannot be divided over ${size} devices`;
      if (format === 'fp8' && (width / size) % FP8_BLOCK !== 0) return `feed-forwards of ${width} over ${size} devices would tear FP8 blocks of ${FP8_BLOCK}`;
    }
  }
  return undefined;
}

export interface LayoutOptions {
  readonly format: WeightFormat;
  /** Copies of the model instead of larger cuts, where one copy needs fewer devices: `copies` of them. */
  readonly copies?: number;
}

/** The layout over `devices` devices, or one line that says why there is none. */
export function layoutFor(profile: Profile, { perNode }: Hardware, devices: number, { format, copies = 1 }: LayoutOptions): Layout | string {
  const each = devices / copies;
  if (!Number.isInteger(each)) return `${copies} copies cannot be divided over ${devices} devices`;
  const nodes = Math.ceil(devices / perNode);
  if (devices > perNode && devices % perNode !== 0) return `${devices} devices do not fill machines of ${perNode}: use a multiple of ${perNode}`;
  const tensor = Math.min(each, perNode);
  const pipeline = each / tensor;
  if (!Number.isInteger(pipeline)) return `${each} devices a copy do not fill machines of ${perNode}`;
  if (pipeline > profile.layers.length) return `${pipeline} pipeline stages are more than the ${profile.layers.length} layers`;
  const cut = tensorObstacle(profile, tensor, format, false);
  const experts = cut !== undefined && profile.layers.some(({ mlp }) => mlp?.kind === 'moe');
  const obstacle = experts ? tensorObstacle(profile, tensor, format, true) : cut;
  if (obstacle !== undefined) return obstacle;
  const spread = experts || (tensor > 1 && isWideMoe(profile, tensor));
  return { devices, nodes, tensor, pipeline, data: copies, experts: spread, cacheShards: pipeline * cacheParts(profile, tensor) };
}

/** Many small experts are better spread than cut: each stays a matrix of its full width. */
function isWideMoe({ layers }: Profile, size: number): boolean {
  const moe = layers.flatMap(({ mlp }) => (mlp?.kind === 'moe' ? [mlp] : []));
  return moe.length > 0 && moe.every(({ experts }) => experts >= 64 && experts % size === 0);
}

function cacheParts({ layers }: Profile, tensor: number): number {
  return Math.min(...layers.map(({ latent, kvHeads }) => (latent ? 1 : Math.min(tensor, kvHeads))));
}

/** Device counts worth trying, smallest first. */
export function deviceCounts({ perNode }: Hardware): number[] {
  const within = [1, 2, 4, 8].filter((count) => count <= perNode);
  return [...within, ...[2, 3, 4, 6, 8, 12, 16, 32, 64].map((nodes) => nodes * perNode)];
}
