// Claim: latent attention (MLA) is as good as or better than multi-head attention (MHA) with a cache as
// small as grouped queries' (DeepSeek V2, arXiv:2405.04434, appendix D; GQA,
// arXiv:2305.13245). All with the same parameters: what attention saves, the feed-forward part gets.

import { bars } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { COLORS, compareDesigns, drawDesigns, tellDesigns, tuneDesigns } from './compared.mjs';
import { hiddenOf, latent, ofSize, plain } from './shapes.mjs';

/** All latent ones have the same colour. */
const color = (i) => COLORS[Math.min(i, 3)];

export const claim = {
  name: 'latent-attention',
  about: 'Latent attention (MLA) against grouped queries (GQA, MQA) and all heads (MHA), at equal parameters: loss and bytes of keys and values.',
  settings: { seeds: 3, steps: 400, context: 128, batch: 16, heldOut: 200 },
  variants({ vocab }) {
    const heads = plain('llama', { vocab, kvHeads: 8 });
    const grouped = (kvHeads) => ofSize(hiddenOf(heads), (hidden) => plain('llama', { vocab, kvHeads, hidden }));
    return [
      { name: 'MHA', config: heads }, { name: 'GQA, 2 of 8', config: grouped(2) }, { name: 'MQA, 1 of 8', config: grouped(1) },
      ...[[56, 8], [48, 16], [120, 8]].map(([rank, rotated]) => ({ name: `MLA, ${rank} + ${rotated}`, config: ofSize(hiddenOf(heads), (hidden) => latent({ vocab, hidden, rank, rotated })) })),
    ];
  },

  make: tuneDesigns,

  summarise: (result) => ({ designs: compareDesigns(result) }),

  tell: ({ summary: { designs } }) => tellDesigns(designs, ({ hidden, kvBytesPerToken }) => `${hidden} parameters, ${kvBytesPerToken} B of keys and values a token`),

  figure: (result) => drawDesigns(result, {
    title: 'Held-out loss', detail: ({ rate }) => `rate ${rate}`, color, aside: 110, width: 320,
    more: (left) => [bars({
      left, title: 'Keys and values of a token', note: 'bf16, all layers', aside: 110, length: 120,
      rows: result.summary.designs.map(({ name, hidden, kvBytesPerToken }, i) => ({ name, note: `${(hidden / 1e3).toFixed(0)} k parameters`, value: kvBytesPerToken, label: `${kvBytesPerToken} B`, color: color(i) })),
    })],
  }),
};

await runClaim(claim, import.meta.url);
