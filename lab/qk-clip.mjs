// Claim: with Muon attention scores grow without bound, and QK-Clip keeps them at its limit without harm to
// the loss (Kimi K2, arXiv:2507.20534, section 2.1 and appendix D, where a small model is clipped at 30).

import { dots, lines, page, panelSize } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { against, COLORS, LEFT, lossAxis, madeOf, nats } from './compared.mjs';
import { latent } from './shapes.mjs';
import { difference, lossOf, mean, round, spread } from './statistics.mjs';

const LIMIT = 30;
const OPTIMIZERS = { AdamW: { name: 'adamw' }, Muon: { name: 'muon' }, 'Muon, QK-Clip': { name: 'muonclip', scoreLimit: LIMIT } };

/** What each optimiser comes to at one rate: losses, the largest score of each seed, and scores by step; differences to Muon's losses. */
function atRate(runs) {
  const rows = Object.entries(OPTIMIZERS).map(([name, { name: key }]) => [name, runs.filter(({ optimizer }) => optimizer.name === key).sort((a, b) => a.seed - b.seed)]).filter(([, own]) => own.length > 0).map(([name, own]) => {
    const clipped = own.flatMap(({ curve }) => curve.map((point) => point.clipped)).filter((each) => each !== undefined);
    const steps = own[0].curve.map(({ step }, at) => ({ x: step, y: round(mean(own.filter(({ curve }) => curve.length > at).map(({ curve }) => curve[at].score)), 2) }));
    return { name, ...spread(own.map((run) => lossOf(run))), largest: spread(own.map(({ curve }) => Math.max(...curve.map(({ score }) => score)))), ...(clipped.length > 0 ? { clipped: round(mean(clipped), 2) } : {}), curve: steps };
  });
  const muon = rows.find(({ name }) => name === 'Muon');
  return rows.map((row) => ({ ...row, ...(muon && row !== muon ? { difference: difference(row.values, muon.values) } : {}) }));
}

export const claim = {
  name: 'qk-clip',
  about: `The largest attention scores with AdamW, with Muon, and with Muon and QK-Clip at ${LIMIT} (MuonClip), in a model with latent attention; and what clipping does to the loss.`,
  settings: { seeds: 3, steps: 400, context: 128, batch: 16, heldOut: 200, scores: true },
  variants: ({ vocab }) => [{ name: 'MLA', config: latent({ vocab }) }],

  async make(lab) {
    await Promise.all(lab.seeds.flatMap((seed) => lab.ladder([0.008, 0.032]).flatMap((learningRate) => Object.values(OPTIMIZERS).map((optimizer) => lab.run('MLA', { optimizer: { ...optimizer, learningRate }, seed })))));
  },

  summarise({ runs }) {
    const rates = [...new Set(runs.map(({ optimizer }) => optimizer.learningRate))].sort((a, b) => a - b);
    return { rates: rates.map((rate) => ({ rate, optimizers: atRate(runs.filter(({ optimizer }) => optimizer.learningRate === rate)) })) };
  },

  tell: ({ summary: { rates } }) => rates.flatMap(({ rate, optimizers }) => optimizers.map(({ name, mean, deviation, largest, clipped, difference: more }) =>
    `${name} at ${rate}: ${nats(mean)} ± ${deviation?.toFixed(3) ?? '?'}; largest score ${largest.mean.toFixed(1)} (${largest.values.join(', ')})${clipped === undefined ? '' : `; ${clipped} heads clipped a step`}${more ? `; ${against(more)}` : ''}`)),

  figure(result) {
    const { rate, optimizers } = result.summary.rates.at(-1);
    const series = optimizers.map(({ name, curve }, i) => ({ color: COLORS[i], name: `${name}, ${curve.at(-1).y.toFixed(0)}`, points: curve }));
    const steps = series[0].points.map(({ x: step }) => step);
    const x = { ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * steps.at(-1))), label: String };
    const second = LEFT + panelSize.width + 170;
    return page({
      width: second + 110 + panelSize.width + 250, about: result.about, source: madeOf(result), panels: [
        lines({ left: LEFT, title: 'Largest attention score by step', note: `learning rate ${rate}; mean of the seeds; logarithmic`, x, y: { ticks: [1, 3, 10, 30, 100, 300, 1000, 3000], log: true, clamped: true, label: String }, series }),
        dots({ left: second, title: 'Held-out loss', note: `learning rate ${rate}; difference to Muon ± standard error`, aside: 110, axis: lossAxis(optimizers.flatMap(({ values }) => values)), rows: optimizers.map((row, i) => ({ ...row, color: COLORS[i], note: '', label: `${nats(row.mean)}${row.difference ? `, ${against(row.difference)}` : ''}` })) }),
      ],
    });
  },
};

await runClaim(claim, import.meta.url);
