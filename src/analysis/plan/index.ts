// The planner: what fits on which machine, how fast, and what changes when a config does.

export { efficiencies, PARALLEL_EFFICIENCY } from './efficiency.js';
export type { Efficiency, Kind } from './efficiency.js';
export { engineFacts } from './engine_flags.js';
export type { EngineName } from './engine_flags.js';
export type { PlanEntry, PlanSettings } from './entry.js';
export { findHardware, hardwareTable } from './hardware.js';
export type { Flops, Hardware, OwnHardware } from './hardware.js';
export type { Launch } from './launch.js';
export type { Layout } from './layout.js';
export { plan } from './plan.js';
export type { Plan, PlanOptions } from './plan.js';
export type { MemoryUse, Speed } from './predict.js';
export { expectedExperts } from './profile.js';
export { PURPOSES } from './purposes.js';
export type { Purpose } from './purposes.js';
export { whatIf } from './what_if.js';
export type { Overrides, WhatIf } from './what_if.js';
