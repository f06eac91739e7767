// Learning rates over time, as shares of the peak: warm-up, then constant, a cosine, or constant with
// a decay at the end (WSD: warm-up, stable, decay; MiniCPM, arXiv:2404.06395).

/** The share of the peak learning rate at `step` (from 1) of `steps`. */
export type Schedule = (step: number, steps: number) => number;

export interface ScheduleOptions {
  /** Steps over which the rate rises from 0; 0 by default. */
  readonly warmup?: number;
  /** Share of the peak at the last step; 0 by default. */
  readonly final?: number;
}

const rising = (step: number, warmup: number): number => (step < warmup ? step / warmup : 1);

export function constant({ warmup = 0 }: ScheduleOptions = {}): Schedule {
  return (step) => rising(step, warmup);
}

export function cosine({ warmup = 0, final = 0 }: ScheduleOptions = {}): Schedule {
  return (step, steps) => {
    if (step < warmup) return rising(step, warmup);
    const done = steps > warmup ? Math.min(1, (step - warmup) / (steps - warmup)) : 1;
    return final + ((1 - final) * (1 + Math.cos(Math.PI * done))) / 2;
  };
}

/** Constant until the last `decay` (a share of all steps, 0.2 by default), then down in a straight line. */
export function wsd({ warmup = 0, final = 0, decay = 0.2 }: ScheduleOptions & { readonly decay?: number } = {}): Schedule {
  return (step, steps) => {
    const length = Math.max(1, Math.round(steps * decay));
    const done = Math.min(1, Math.max(0, (step - (steps - length)) / length));
    return rising(step, warmup) * (1 - (1 - final) * done);
  };
}

export const schedules = { constant, cosine, wsd } as const;
export type ScheduleName = keyof typeof schedules;
