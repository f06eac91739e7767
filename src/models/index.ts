// Model families and the registry that finds them.

export { ConfigError, HfConfig } from './config.js';
export { family } from './family.js';
export type { Family } from './family.js';
export { hiddenParameters, presetArchitectures, presetConfig, presets } from './presets.js';
export type { PresetName } from './presets.js';
export { buildModel, families, familyOf } from './registry.js';
