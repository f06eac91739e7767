// Where threads meet. They spin, because most waits are shorter than it takes to wake a thread up, then sleep:
// for some hundred microseconds as long as that helps, for a few where other threads want the processor.
// A thread that trapped never arrives: the abort word lets the rest go.

import { CONTROL_ABORT, CONTROL_ARRIVED, CONTROL_BARRIERS, CONTROL_GENERATION, CONTROL_SLEEPERS } from '../abi';
import { control, threads } from './record';

const LEAST_SPINS = 8000;
const MOST_SPINS = 512000;
/** This thread's. */
let spins = MOST_SPINS;
/** A sleeping thread looks at the abort word at least this often, in nanoseconds. */
const LONGEST_SLEEP: i64 = 50_000_000;

// @ts-ignore: decorator
@inline function word(index: i32): usize { return control + (index << 2); }

/** Waits for every thread; false when the run was aborted. */
export function barrier(): bool {
  const generation = atomic.load<i32>(word(CONTROL_GENERATION));
  if (atomic.add<i32>(word(CONTROL_ARRIVED), 1) == threads - 1) {
    store<i32>(word(CONTROL_BARRIERS), load<i32>(word(CONTROL_BARRIERS)) + 1);
    atomic.store<i32>(word(CONTROL_ARRIVED), 0);
    atomic.store<i32>(word(CONTROL_GENERATION), generation + 1);
    if (atomic.load<i32>(word(CONTROL_SLEEPERS)) != 0) atomic.notify(word(CONTROL_GENERATION), -1);
    return atomic.load<i32>(word(CONTROL_ABORT)) == 0;
  }
  for (let i = 0; i < spins; i++) {
    if (atomic.load<i32>(word(CONTROL_GENERATION)) == generation) continue;
    spins = min(2 * spins, MOST_SPINS);
    return true;
  }
  spins = max(spins / 2, LEAST_SPINS);
  return sleep(generation);
}

function sleep(generation: i32): bool {
  atomic.add<i32>(word(CONTROL_SLEEPERS), 1);
  while (atomic.load<i32>(word(CONTROL_GENERATION)) == generation && atomic.load<i32>(word(CONTROL_ABORT)) == 0) {
    atomic.wait<i32>(word(CONTROL_GENERATION), generation, LONGEST_SLEEP);
  }
  atomic.sub<i32>(word(CONTROL_SLEEPERS), 1);
  return atomic.load<i32>(word(CONTROL_GENERATION)) != generation;
}
