// Parts that model families are made of.

export { groupedQueryAttention, preNormBlock } from './blocks.js';
export type { GroupedQueryConfig } from './blocks.js';
export { decoder } from './decoder.js';
export type { Block, Decoder, DecoderParts, Norm } from './decoder.js';
export { attention, headRows, KvCache, kvCache, latentCache, scoredBy } from './kv.js';
export type { CacheRows, HeadRows, KvView, Step } from './kv.js';
export { embedding, experts, gatedMlp, layerNorm, linear, mergeHeads, rmsNorm, splitHeads, stackedExperts } from './layers.js';
export { Constant, constants, module, observe, param, Parameter, parameters, report, storedPieces, walk } from './module.js';
export type { Init, Module, Part, Parts, Piece } from './module.js';
export { observeRouting, reportRouting } from './routing.js';
export type { Routing } from './routing.js';
export { ropeAmplitude, ropeFrequencies, rotary, yarnMscale } from './rope.js';
export type { RopeConfig, RopeScaling } from './rope.js';
