// Claim: layers without positions (NoPE) learn them from the causal mask, and go further than RoPE beyond
// the trained length (arXiv:2305.19466); every fourth layer without them keeps RoPE's loss (SmolLM3;
// arXiv:2501.18795).

import { lines, page } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { byPosition, COLORS, LEFT, lossAxis, madeOf, nats, tellPositions, tuneDesigns } from './compared.mjs';
import { common } from './shapes.mjs';

const LAYERS = 4;
const smollm = (vocab, no_rope_layers) => ({ model_type: 'smollm3', ...common({ vocab, layers: LAYERS }), mlp_bias: false, use_sliding_window: false, no_rope_layers });
const layers = (usesRope) => Array.from({ length: LAYERS }, (_, i) => (usesRope(i) ? 1 : 0));

export const claim = {
  name: 'without-positions',
  about: 'RoPE, no positions at all (NoPE), and SmolLM3\'s mix (every fourth layer without): loss up to once, twice and four times the trained length.',
  settings: { seeds: 3, steps: 400, context: 64, batch: 32, heldOut: 200, lengths: [64, 128, 256] },
  variants: ({ vocab }) => [
    { name: 'RoPE', config: smollm(vocab, layers(() => true)) }, { name: 'every fourth without', config: smollm(vocab, layers((i) => (i + 1) % 4 !== 0)) },
    { name: 'NoPE', config: smollm(vocab, layers(() => false)) },
  ],

  make: tuneDesigns,

  summarise: (result) => ({ byPosition: byPosition(result) }),

  tell: ({ summary }) => tellPositions(summary.byPosition),

  figure(result) {
    const { byPosition: designs } = result.summary;
    const series = designs.map(({ name, parts }, i) => ({
      name: `${name}, ${nats(parts.at(-1).mean)}`, color: COLORS[i], points: parts.map(({ to, mean }) => ({ x: to, y: mean })), single: parts.flatMap(({ to, values }) => values.map((y) => ({ x: to, y }))),
    }));
    const ticks = designs[0].parts.map(({ to }) => to);
    const x = { ticks, log: true, label: (to) => `to ${to}` };
    return page({
      width: 740, about: result.about, source: madeOf(result),
      panels: [lines({ left: LEFT, title: 'Held-out loss by position in the story', note: `trained on ${result.settings.context} tokens; nats per token from the position before`, x, y: lossAxis(series.flatMap(({ single }) => single.map(({ y }) => y))), series })],
    });
  },
};

await runClaim(claim, import.meta.url);
