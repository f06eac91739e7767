// Designs that are compared by their loss on held-out stories, each at its own best learning rate: what most
// claims do with their experiments. The first design is what the others are held against.

import { dots, page, panelSize } from '../scripts/chart.mjs';
import { difference, lossOf, spread } from './statistics.mjs';

/** Muon's rates that designs are tried with: at this size its loss changes little between them. */
const RATES = [0.004, 0.008, 0.016];
/** Of the chart's colours those that differ most. */
export const COLORS = [0, 1, 3, 4, 2];

/**
 * Of one design's experiments: the rate whose first seed has the lowest loss, and the losses of all seeds at
 * that rate; both up to the trained length, if that is given.
 */
export function atBestRate(runs, context) {
  const loss = (run) => lossOf(run, context);
  const tried = runs.filter(({ seed }) => seed === 1).map((run) => ({ rate: run.optimizer.learningRate, loss: loss(run) })).sort((a, b) => a.loss - b.loss);
  if (tried.length === 0) return undefined;
  const chosen = runs.filter(({ optimizer }) => optimizer.learningRate === tried[0].rate).sort((a, b) => a.seed - b.seed);
  return { rate: tried[0].rate, tried: tried.toSorted((a, b) => a.rate - b.rate), ...spread(chosen.map(loss)) };
}

/** By design: its rate, its losses, and how much higher they are than the first design's, seed by seed. */
export function compareDesigns({ variants, runs }) {
  const rows = variants.map(({ name, hidden, active, parameters, kvBytesPerToken, kvBytesAtContext }) => ({
    name, hidden, active, parameters, kvBytesPerToken, kvBytesAtContext, ...atBestRate(runs.filter(({ variant }) => variant === name)),
  })).filter(({ rate }) => rate !== undefined);
  const base = rows.find(({ name }) => name === variants[0].name);
  return rows.map((row) => ({ ...row, ...(base && row !== base ? { difference: difference(row.values, base.values) } : {}) }));
}

export const nats = (value) => (Number.isFinite(value) ? value.toFixed(3) : 'failed');
/** A signed difference with its standard error, and whether it says anything. */
export const against = ({ mean, error, decided }) => `${mean < 0 ? '−' : '+'}${Math.abs(mean).toFixed(3)}${error === undefined ? '' : ` ± ${error.toFixed(3)}`}${decided ? '' : ', undecided'}`;
const plusMinus = ({ mean, deviation }) => `${nats(mean)}${deviation === undefined ? '' : ` ± ${deviation.toFixed(3)}`}`;

const millions = (n) => `${(n / 1e6).toFixed(2)} M`;

/** By design, at the rate that is best up to the trained length: the loss of each stretch of positions, and how much higher than the first design's. */
export function byPosition({ variants, runs, settings: { context } }) {
  const rows = variants.flatMap(({ name }) => {
    const own = runs.filter(({ variant }) => variant === name);
    const best = atBestRate(own, context);
    if (!best) return [];
    const chosen = own.filter(({ optimizer, heldOut }) => optimizer.learningRate === best.rate && heldOut.length > 0).sort((a, b) => a.seed - b.seed);
    return [{ name, rate: best.rate, parts: (chosen[0]?.heldOut ?? []).map(({ from, to, tokens }, i) => ({ from, to, tokens, ...spread(chosen.map(({ heldOut }) => heldOut[i].nll)) })) }];
  });
  const [base] = rows;
  return rows.map((row) => (row === base ? row : { ...row, parts: row.parts.map((part, i) => ({ ...part, difference: difference(part.values, base.parts[i].values) })) }));
}

export const tellPositions = (rows) => rows.flatMap(({ name, rate, parts }) => parts.map((part) => `${name.padEnd(24)} ${part.from} to ${part.to}: ${plusMinus(part)} at ${rate}${part.difference ? `; ${against(part.difference)}` : ''}`));

export const tellDesigns = (rows, detail) => rows.map((row) => `${row.name.padEnd(24)} ${plusMinus(row)} at ${row.rate}${detail ? `, ${detail(row)}` : ''}${row.difference ? `; ${against(row.difference)}` : ''}`);

/** Round numbers over a range: about four. */
export function ticksOver(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** How a figure's numbers were made, for its last line. */
export function madeOf({ claim, settings: { steps, context, batch }, device, backend, corpus, runs }) {
  const counts = [...new Set(runs.map(({ variant }) => variant))].map((name) => new Set(runs.filter(({ variant }) => variant === name).map(({ seed }) => seed)).size);
  const [fewest, most] = [Math.min(...counts), Math.max(...counts)];
  return `${fewest < most ? `${fewest} to ` : ''}${most} seed${most > 1 ? 's' : ''}, ${steps} steps of ${batch} x ${context} tokens, ${(corpus.trainTokens / 1e6).toFixed(1)} M tokens of stories, ${device ?? backend}: node lab/${claim}.mjs`;
}

export const lossAxis = (values, label = (tick) => tick.toFixed(2)) => {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return { ticks: [0, 1], clamped: true, label };
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const margin = Math.max(0.002, (high - low) * 0.1);
  const ticks = ticksOver(low - margin, high + margin);
  return { ticks, clamped: true, label: ticks[1] - ticks[0] < 0.01 ? (tick) => tick.toFixed(3) : label };
};

export const LEFT = 56;
/** One panel of dots; `more(right)`: more panels, from that place on, which end at `width`. `color(i)`: a row's, where there are more rows than colours. */
export function drawDesigns(result, { title, detail, rows = result.summary.designs, color = (i) => COLORS[i], aside = 150, more = () => [], width = 0 }) {
  const losses = rows.map((row, i) => ({ name: row.name, note: detail(row), values: row.values, mean: row.mean, label: `${nats(row.mean)}${row.difference ? `, ${against(row.difference)}` : ''}`, color: color(i) }));
  const right = LEFT + aside + panelSize.width + 230;
  const panels = [dots({ left: LEFT, title, note: 'nats per held-out token; a dot per seed; differences ± standard error', axis: lossAxis(rows.flatMap(({ values }) => values)), rows: losses, aside }), ...more(right)];
  return page({ width: Math.max(width + right, 740), height: 76 + Math.max(rows.length * 60, width > 0 ? panelSize.height : 0) + 60, about: result.about, source: madeOf(result), panels });
}

/** Trains every design with Muon, each at its own rate. */
export async function tuneDesigns(lab) {
  await Promise.all(lab.variants.map(({ name }) => lab.tuned(name, RATES, (learningRate) => ({ name: 'muon', learningRate }))));
}

/** What claims about active and total parameters do with their designs. */
export const byActiveParameters = {
  make: tuneDesigns,

  summarise: (result) => ({ designs: compareDesigns(result) }),

  tell: ({ summary: { designs } }) => tellDesigns(designs, ({ active, parameters }) => `${active} of ${parameters} parameters active`),

  figure: (result) => drawDesigns(result, { title: 'Held-out loss', detail: ({ active, parameters, rate }) => `${millions(active)} of ${millions(parameters)}, rate ${rate}`, aside: 160 }),
};
