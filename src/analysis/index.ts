// `lamella/analysis`: what a design costs and buys, from the definition that runs.

export { compare, compareDescriptions } from './compare.js';
export type { Comparison, ComparisonRow } from './compare.js';
export { describe } from './describe.js';
export type { DescribeOptions, Description } from './describe.js';
export { diagram, drawDiagram } from './diagram/index.js';
export type { DiagramOptions, DiagramSource, DiagramTheme, Drawing } from './diagram/index.js';
export { diff, diffDescriptions } from './diff.js';
export type { Difference } from './diff.js';
export type { PassCost } from './execute.js';
export { FORMAT_RULES, kvPrecisions, weightFormats } from './formats.js';
export type { FormatBytes, KvPrecision, WeightFormat } from './formats.js';
export type { LayerDescription, MlpDescription, RopeDescription } from './layers.js';
export { tokensKept } from './memory.js';
export type { KvKind } from './memory.js';
export type { PartName } from './parameters.js';
export * from './plan/index.js';
export type { DescribeSource } from './source.js';
export { layerColumns, summarise } from './summary.js';
