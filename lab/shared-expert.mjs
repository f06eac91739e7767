// Claim: an expert that every token sees lowers the loss at the same active and total parameters
// (DeepSeekMoE, arXiv:2401.06066); OLMoE (arXiv:2409.02060, section 4.1) found it a little higher.

import { runClaim } from './claim.mjs';
import { byActiveParameters } from './compared.mjs';
import { latent } from './shapes.mjs';

const [EXPERTS, CHOSEN, WIDTH] = [16, 4, 48];

/** Sixteen experts of which a token sees four; `shared` of the four are the same for all. A chosen one weighs about 1, as a shared one does. */
const mixture = (vocab, shared) => ({
  ...latent({ vocab }), first_k_dense_replace: 0, n_routed_experts: EXPERTS - shared, num_experts_per_tok: CHOSEN - shared, n_shared_experts: shared, moe_intermediate_size: WIDTH, routed_scaling_factor: CHOSEN - shared,
});

export const claim = {
  name: 'shared-expert',
  about: `One shared and ${CHOSEN - 1} of ${EXPERTS - 1} routed experts against ${CHOSEN} of ${EXPERTS} routed ones (DeepSeek V3), at equal active and total parameters.`,
  settings: { seeds: 3, steps: 400, context: 128, batch: 16, heldOut: 200 },
  variants: ({ vocab }) => [{ name: 'routed only', config: mixture(vocab, 0) }, { name: 'one shared', config: mixture(vocab, 1) }],
  ...byActiveParameters,
};

await runClaim(claim, import.meta.url);
