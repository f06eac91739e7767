// Claim: a mixture of experts is better than a dense model with as many active parameters, and comes near
// one with as many in all (Switch Transformers, arXiv:2101.03961; OLMoE, arXiv:2409.02060, section 4.1).

import { runClaim } from './claim.mjs';
import { byActiveParameters } from './compared.mjs';
import { plain } from './shapes.mjs';

const [EXPERTS, CHOSEN, WIDTH] = [8, 2, 96];

export const claim = {
  name: 'experts',
  about: `${EXPERTS} experts of which ${CHOSEN} are chosen (Qwen3 MoE) against dense models with as many active parameters and with as many in all.`,
  settings: { seeds: 3, steps: 400, context: 128, batch: 16, heldOut: 200 },
  variants: ({ vocab }) => [
    { name: 'dense, as many active', config: plain('qwen3', { vocab, hidden: CHOSEN * WIDTH }) },
    { name: `${CHOSEN} of ${EXPERTS} experts`, config: {
      ...plain('qwen3_moe', { vocab }), num_experts: EXPERTS, num_experts_per_tok: CHOSEN, moe_intermediate_size: WIDTH, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [], router_aux_loss_coef: 0.001,
    } },
    { name: 'dense, as many in all', config: plain('qwen3', { vocab, hidden: EXPERTS * WIDTH }) },
  ],
  ...byActiveParameters,
};

await runClaim(claim, import.meta.url);
