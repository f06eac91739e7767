// Claim: Muon needs about half the tokens that AdamW needs for the same loss (Jordan et al.,
// github.com/KellerJordan/Muon; Moonlight, arXiv:2502.16982: 52 % of AdamW's FLOPs).
//
// Learning rates are tuned for both, at each length of training; every length is a run of its own with
// its own schedule, because a loss on the way to a longer run's end says little.

import { bars, lines, page, panelSize } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { atBestRate, LEFT, lossAxis, madeOf, nats } from './compared.mjs';
import { plain } from './shapes.mjs';
import { spread } from './statistics.mjs';

const OPTIMIZERS = { adamw: 'AdamW', muon: 'Muon' };
/** Learning rates tried first, and shares of the longest training; Muon's shorter runs say where it reached AdamW's loss. */
const PLAN = {
  adamw: { rates: [0.002, 0.004, 0.008], lengths: [0.5, 1] },
  muon: { rates: [0.004, 0.008, 0.016], lengths: [0.125, 0.25, 0.5, 1] },
};

/**
 * Tokens after which a loss is reached, on the straight lines between runs of several lengths over the
 * logarithm of their tokens. `points`: [{ tokens, loss }] by rising tokens. Undefined outside of them.
 */
export function tokensToReach(points, loss) {
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    if (a.loss >= loss && loss >= b.loss && a.loss > b.loss) return a.tokens * (b.tokens / a.tokens) ** ((a.loss - loss) / (a.loss - b.loss));
  }
  return undefined;
}

/** For each of AdamW's lengths: Muon's tokens to the same loss as a share of AdamW's, seed by seed. */
function shares({ adamw, muon }) {
  return adamw.map(({ steps, tokens, mean, values }) => {
    const each = values.map((loss, seed) => tokensToReach(muon.filter((point) => point.values.length > seed).map((point) => ({ tokens: point.tokens, loss: point.values[seed] })), loss));
    const found = each.filter((value) => value !== undefined).map((value) => value / tokens);
    return { steps, tokens, loss: mean, missing: each.length - found.length, ...(found.length > 0 ? { share: spread(found) } : {}) };
  });
}

export const claim = {
  name: 'muon-against-adamw',
  about: 'Muon against AdamW: how many tokens each needs for the same loss, learning rates tuned for both.',
  settings: { seeds: 3, steps: 480, context: 128, batch: 16, heldOut: 200 },
  variants: ({ vocab }) => [{ name: 'qwen3', config: plain('qwen3', { vocab }) }],

  async make(lab) {
    await Promise.all(Object.entries(PLAN).flatMap(([name, { rates, lengths }]) => {
      const steps = new Set(lengths.map((share) => Math.max(1, Math.round(lab.settings.steps * share))));
      return [...steps].map((each) => lab.tuned('qwen3', rates, (learningRate) => ({ name, learningRate }), { steps: each }));
    }));
  },

  summarise({ runs }) {
    const lengths = [...new Set(runs.map(({ steps }) => steps))].sort((a, b) => a - b);
    const of = (optimizer) => lengths.map((steps) => runs.filter((run) => run.steps === steps && run.optimizer.name === optimizer)).filter((each) => each.some(({ seed }) => seed === 1))
      .map((each) => ({ steps: each[0].steps, tokens: each[0].tokens, ...atBestRate(each) }));
    const optimizers = Object.fromEntries(Object.keys(OPTIMIZERS).map((name) => [name, of(name)]));
    return { optimizers, toEqualLoss: shares(optimizers) };
  },

  tell: ({ summary: { optimizers, toEqualLoss } }) => [
    ...Object.entries(optimizers).flatMap(([name, points]) => points.map(({ steps, tokens, rate, mean, deviation }) => `${OPTIMIZERS[name]} ${steps} steps, ${tokens} tokens: ${nats(mean)} ± ${deviation?.toFixed(3) ?? '?'} at ${rate}`)),
    ...toEqualLoss.map(({ tokens, loss, share, missing }) => `AdamW's ${nats(loss)} after ${tokens} tokens: ${share ? `Muon needs ${(100 * share.mean).toFixed(0)} % ± ${(100 * (share.deviation ?? 0)).toFixed(0)}` : 'outside of what was measured'}${missing ? ` (${missing} seeds outside)` : ''}`),
  ],

  figure(result) {
    const { optimizers, toEqualLoss } = result.summary;
    const series = Object.entries(optimizers).filter(([, points]) => points.length > 0).map(([name, points], i) => ({
      name: `${OPTIMIZERS[name]}, ${nats(points.at(-1).mean)}`, color: [0, 3][i], points: points.map(({ tokens, mean }) => ({ x: tokens, y: mean })), single: points.flatMap(({ tokens, values }) => values.map((y) => ({ x: tokens, y }))),
    }));
    const tokens = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
    const x = { ticks: tokens, log: true, label: (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : `${Math.round(n / 1e3)} k`) };
    const reached = toEqualLoss.filter(({ share }) => share);
    const second = LEFT + panelSize.width + 170;
    const panels = [
      lines({ left: LEFT, title: 'Held-out loss by tokens of training', note: 'every dot a run of its own; nats per token', x, y: lossAxis(series.flatMap(({ single }) => single.map(({ y }) => y))), series }),
      ...(reached.length > 0 ? [bars({
        left: second, title: 'Tokens that Muon needs for AdamW\'s loss', note: 'as a share of AdamW\'s', aside: 110, length: 120,
        rows: reached.map((row) => ({ name: `loss ${nats(row.loss)}`, note: `${x.label(row.tokens)} of AdamW`, value: row.share.mean, label: `${(100 * row.share.mean).toFixed(0)} %${row.share.deviation ? ` ± ${(100 * row.share.deviation).toFixed(0)}` : ''}`, color: 3 })),
      })] : []),
    ];
    return page({ width: second + 360, about: result.about, source: madeOf(result), panels });
  },
};

await runClaim(claim, import.meta.url);
