// One model in a plan, and what the plan was asked for.

import type { Hardware } from './hardware.js';
import type { Layout } from './layout.js';
import type { Formats, MemoryUse, Speed } from './predict.js';
import type { Purpose } from './purposes.js';

export interface PlanEntry {
  readonly model: string;
  readonly family: string;
  readonly parameters: number;
  readonly active: number;
  readonly fits: boolean;
  /** Why not, in one line; null where it fits. */
  readonly obstacle: string | null;
  readonly layout: Layout | null;
  /** Of one device. */
  readonly memory: MemoryUse | null;
  /** Null where it does not fit. */
  readonly speed: Speed | null;
  /** At this batch; 0: none. */
  readonly largestContext: number;
  /** At this context; 0: none. */
  readonly largestBatch: number;
  /** Fewest devices of this kind on which it fits; null: more than were tried. */
  readonly devicesNeeded: number | null;
  readonly reasons: readonly string[];
}

/** The options with every default filled in. */
export interface PlanSettings extends Formats { readonly hardware: Hardware; readonly devices: number; readonly context: number; readonly prompt: number; readonly batch: number; readonly purpose: Purpose }
