// Where a plan's temporaries lie: intervals of use share memory when they do not overlap in time.

export interface Interval<T> {
  readonly item: T;
  readonly bytes: number;
  /** First and last moment of use, both included. */
  readonly from: number;
  to: number;
}

const ALIGNMENT = 64;

/** Gives every interval an offset; returns them with the total. First fit in order of first use. */
export function pack<T>(intervals: readonly Interval<T>[]): { offsets: Map<T, number>; total: number } {
  const offsets = new Map<T, number>();
  let placed: (Interval<T> & { at: number; end: number })[] = [];
  let total = 0;
  for (const interval of [...intervals].sort((a, b) => a.from - b.from)) {
    placed = placed.filter(({ to }) => to >= interval.from);
    const size = Math.ceil(interval.bytes / ALIGNMENT) * ALIGNMENT;
    let at = 0;
    for (const other of placed) if (at + size > other.at && at < other.end) at = other.end;
    offsets.set(interval.item, at);
    placed.push({ ...interval, at, end: at + size });
    placed.sort((a, b) => a.at - b.at);
    total = Math.max(total, at + size);
  }
  return { offsets, total };
}
