// Claim: with five sliding-window layers to each that sees everything, the loss stays and most of the cache
// goes (Gemma 3, arXiv:2503.19786, section 5.2).

import { bars } from '../scripts/chart.mjs';
import { runClaim } from './claim.mjs';
import { byPosition, COLORS, compareDesigns, drawDesigns, tellDesigns, tellPositions, tuneDesigns } from './compared.mjs';
import { common } from './shapes.mjs';

const LAYERS = 6;
const WINDOW = 32;
const [SLIDING, FULL] = ['sliding_attention', 'full_attention'];

/** Gemma 3's block, RoPE the same in every layer. */
const gemma = (vocab, layer_types) => ({
  model_type: 'gemma3_text', ...common({ vocab, layers: LAYERS, hidden: 256 }), hidden_activation: 'gelu_pytorch_tanh', query_pre_attn_scalar: 16, rope_local_base_freq: 10000, sliding_window: WINDOW, layer_types,
});
const layers = (type) => Array.from({ length: LAYERS }, (_, i) => type(i));

export const claim = {
  name: 'sliding-window',
  about: `Sliding windows of ${WINDOW} tokens in five of six layers, and in all, against full attention: loss and bytes of keys and values.`,
  settings: { seeds: 3, steps: 300, context: 256, batch: 8, heldOut: 200, lengths: [32, 64, 128, 256] },
  variants: ({ vocab }) => [
    { name: 'full', config: gemma(vocab, layers(() => FULL)) }, { name: '5 : 1', config: gemma(vocab, layers((i) => ((i + 1) % LAYERS === 0 ? FULL : SLIDING))) },
    { name: 'windows only', config: gemma(vocab, layers(() => SLIDING)) },
  ],

  make: tuneDesigns,

  summarise: (result) => ({ designs: compareDesigns(result), byPosition: byPosition(result) }),

  tell: ({ summary }) => [...tellDesigns(summary.designs, ({ kvBytesAtContext }) => `${kvBytesAtContext} B of keys and values at the context`), ...tellPositions(summary.byPosition)],

  figure: (result) => drawDesigns(result, {
    title: 'Held-out loss', detail: ({ rate }) => `rate ${rate}`, aside: 110, width: 320,
    more: (left) => [bars({
      left, title: `Keys and values of ${result.settings.context} tokens`, note: 'bf16, all layers', aside: 110, length: 120,
      rows: result.summary.designs.map(({ name, kvBytesAtContext }, i) => ({ name, note: '', value: kvBytesAtContext, label: `${(kvBytesAtContext / 1024).toFixed(1)} KiB`, color: COLORS[i] })),
    })],
  }),
};

await runClaim(claim, import.meta.url);
