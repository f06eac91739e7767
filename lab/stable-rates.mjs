// Claim: norms of queries and keys, and norms behind the sublayers, let training bear higher learning rates
// (OLMo 2, arXiv:2501.00656, section 3; QK norm: arXiv:2309.14322).

import { lines, page, panelSize } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { COLORS, LEFT, madeOf, nats } from './compared.mjs';
import { plain } from './shapes.mjs';
import { lossOf, mean, round } from './statistics.mjs';

const RATES = Array.from({ length: 10 }, (_, i) => 0.001 * 2 ** i);
/** Nats above the design's best loss from which training counts as failed. */
const FAILED = 0.5;
const isFailed = (loss, best) => !(loss < best + FAILED);

/**
 * A design on the ladder: its best rate, the lowest above it at which training fails, and how much
 * higher than the best its losses are over the whole ladder, where no loss counts as more than the
 * vocabulary's logarithm, which a model that says nothing has (the sensitivity of arXiv:2309.14322).
 */
export function onLadder(name, runs, vocabulary) {
  const ladder = [...new Set(runs.map(({ optimizer }) => optimizer.learningRate))].sort((a, b) => a - b).map((rate) => {
    const own = runs.filter(({ optimizer }) => optimizer.learningRate === rate).sort((a, b) => a.seed - b.seed);
    const values = own.map((run) => Math.min(lossOf(run), Math.log(vocabulary)));
    const largestScore = Math.max(...own.flatMap(({ curve }) => curve.map(({ score }) => score ?? 0)));
    return { rate, loss: round(mean(values)), values: values.map((value) => round(value)), largestScore: round(largestScore, 1), diverged: own.filter(({ diverged }) => diverged).length };
  });
  const best = ladder.reduce((least, rung) => (least && least.loss <= rung.loss ? least : rung), undefined);
  if (!best) return { name, ladder };
  return { name, best, fails: ladder.find(({ rate, loss }) => rate > best.rate && isFailed(loss, best.loss))?.rate, sensitivity: round(mean(ladder.map(({ loss }) => loss - best.loss))), ladder };
}

export const claim = {
  name: 'stable-rates',
  about: 'Norms of queries and keys (Qwen3), and norms behind the sublayers too (OLMo 2), against neither (Llama): the learning rate at which training fails.',
  settings: { seeds: 2, steps: 160, context: 128, batch: 16, heldOut: 150, scores: true },
  variants: ({ vocab }) => [
    { name: 'pre-norm', config: plain('llama', { vocab, kvHeads: 8 }) }, { name: 'pre-norm, QK-norm', config: plain('qwen3', { vocab, kvHeads: 8 }) },
    { name: 'post-norm, QK-norm', config: plain('olmo2', { vocab, kvHeads: 8 }) },
  ],

  async make(lab) {
    await Promise.all(lab.seeds.flatMap((seed) => lab.ladder(RATES).flatMap((learningRate) => lab.variants.map(({ name }) => lab.run(name, { optimizer: { name: 'adamw', learningRate }, seed })))));
  },

  summarise: ({ variants, runs, corpus: { vocabulary } }) => ({ designs: variants.map(({ name }) => onLadder(name, runs.filter(({ variant }) => variant === name), vocabulary)).filter(({ ladder }) => ladder.length > 0) }),

  tell: ({ summary: { designs } }) => designs.flatMap(({ name, best, fails, sensitivity, ladder }) => [
    `${name}: best ${nats(best.loss)} at ${best.rate}, fails at ${fails ?? 'no rate tried'}, sensitivity ${sensitivity.toFixed(3)}`,
    ...ladder.map(({ rate, loss, values, largestScore }) => `  ${rate}: ${nats(loss)} (${values.map(nats).join(', ')}), largest score ${largestScore}`),
  ]),

  figure(result) {
    const { designs } = result.summary;
    const ticks = designs[0].ladder.map(({ rate }) => rate);
    const x = { ticks, log: true, label: (rate) => String(rate).replace(/^0/, '') };
    const lossSeries = designs.map(({ name, ladder, best }, i) => ({
      name, color: COLORS[i], points: ladder.map(({ rate, loss }) => ({ x: rate, y: loss, failed: isFailed(loss, best.loss) })), single: ladder.flatMap(({ rate, values }) => values.map((y) => ({ x: rate, y }))),
    }));
    const scoreSeries = designs.map(({ name, ladder }, i) => ({ name, color: COLORS[i], points: ladder.map(({ rate, largestScore }) => ({ x: rate, y: largestScore })) }));
    const second = LEFT + panelSize.width + 210;
    return page({
      width: second + panelSize.width + 170, about: result.about, source: madeOf(result), panels: [
        lines({ left: LEFT, title: 'Held-out loss by learning rate', note: `hollow: ${FAILED} nats above the design's best, or no number`, x, y: { ticks: [3, 3.5, 4, 4.5, 5, 5.5, 6], clamped: true, label: String }, series: lossSeries }),
        lines({ left: second, title: 'Largest attention score of training', note: 'both axes logarithmic', x, y: { ticks: [1, 10, 100, 1000, 10000, 100000, 1000000], log: true, clamped: true, label: String }, series: scoreSeries }),
      ],
    });
  },
};

await runClaim(claim, import.meta.url);
