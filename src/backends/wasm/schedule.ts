// Decides, for a list of tasks, how threads share each and where they must meet.
//
// A barrier stands only where a thread would read what another wrote since the last one (or write
// what another still reads). Two things keep them few:
//   - shares that match. Queries, keys and values are divided by head all the way from their
//     projections to attention, gate and up alike down to their product: each thread goes on with
//     what it made itself.
//   - repetition. A small task (a norm of one token) is done by every thread for itself, into
//     memory of its own, and no one waits to read it.
// No result depends on the division: an element is always computed wholly by one thread, in one order.

import { Split } from './abi.js';
import type { Slot, Task, TaskOperand } from './task.js';

export interface Placed {
  readonly task: Task;
  readonly split: Split;
  /** Columns of a unit. */
  readonly width: number;
  readonly barrier: boolean;
}

export interface Schedule {
  readonly placed: readonly Placed[];
  /** Buffers that every thread has a copy of. */
  readonly own: ReadonlySet<Slot>;
  readonly barriers: number;
}

export interface ScheduleOptions {
  readonly threads: number;
  /** Whether nothing outside this list reads the buffer, so that threads may keep copies. */
  temporary(slot: Slot): boolean;
  /** Largest task that every thread does for itself. */
  readonly repeatLimit: number;
}

/** Up to this much work is cheaper repeated than waited for: a few microseconds. */
export const REPEAT_LIMIT = 16384;

interface Choice { readonly split: Split; readonly width: number }
/** One touch of a buffer since the last barrier; `part` says which share of it is whose. */
interface Access { readonly slot: Slot; readonly writes: boolean; readonly part: string | undefined }

export function schedule(tasks: readonly Task[], options: ScheduleOptions): Schedule {
  if (options.threads === 1) {
    return { placed: tasks.map((task) => ({ task, split: Split.whole, width: task.width ?? task.grain, barrier: false })), own: new Set(), barriers: 0 };
  }
  return new Scheduler(options, wantedUnits(tasks)).run(tasks);
}

/** Into how many units readers would like each buffer divided, carried from reader to writer. */
function wantedUnits(tasks: readonly Task[]): Map<Slot, number> {
  const wanted = new Map<Slot, number>();
  for (const task of [...tasks].reverse()) {
    const units = task.units ?? firstWanted(task, wanted);
    if (units === undefined || !divides(task, units)) continue;
    for (const { slot, writes, grid } of task.operands) {
      if (slot && !writes && grid && grid.columns % (units * grid.grain) === 0 && !wanted.has(slot)) wanted.set(slot, units);
    }
  }
  return wanted;
}

function firstWanted(task: Task, wanted: ReadonlyMap<Slot, number>): number | undefined {
  for (const { slot, writes } of task.operands) if (slot && writes && wanted.has(slot)) return wanted.get(slot);
  return undefined;
}

function divides(task: Task, units: number): boolean {
  return task.columns % units === 0 && (task.columns / units) % task.grain === 0;
}

class Scheduler {
  private readonly own = new Set<Slot>();
  private recent: Access[] = [];
  private barriers = 0;

  constructor(private readonly options: ScheduleOptions, private readonly wanted: ReadonlyMap<Slot, number>) {}

  run(tasks: readonly Task[]): Schedule {
    const placed = tasks.map((task) => this.place(task));
    return { placed, own: this.own, barriers: this.barriers };
  }

  private place(task: Task): Placed {
    const choice = this.choose(task);
    if (choice.split === Split.whole) for (const { slot, writes } of task.operands) if (slot && writes) this.own.add(slot);
    const accesses = this.accesses(task, choice);
    const barrier = this.conflicts(accesses);
    if (barrier) { this.recent = []; this.barriers++; }
    this.recent.push(...accesses);
    return { task, ...choice, barrier };
  }

  private choose(task: Task): Choice {
    const matching = this.matching(task);
    if (this.repeatable(task) && (!matching || this.readsOwn(task))) return { split: Split.whole, width: task.width ?? task.grain };
    return matching ?? this.fresh(task);
  }

  /** Whether every thread may do all of it for itself. */
  private repeatable(task: Task): boolean {
    return task.work <= this.options.repeatLimit && task.operands.every(({ slot, writes }) => !writes || (slot && this.options.temporary(slot)));
  }

  /** Whether it goes on from what each thread has for itself already. */
  private readsOwn(task: Task): boolean {
    return task.operands.some(({ slot, writes, grid, byRows }) => slot && !writes && (grid ?? byRows) && this.own.has(slot) && this.mainInput(task, slot));
  }

  /** The first operand is what a task transforms; others (a table of cosines) may come from anywhere. */
  private mainInput(task: Task, slot: Slot): boolean {
    return task.operands[0].slot === slot || (task.operands[1]?.grid !== undefined && task.operands[1].slot === slot);
  }

  /** A division that follows what was written since the last barrier, so that none is needed; undefined without such. */
  private matching(task: Task): Choice | undefined {
    for (const { slot, writes, grid, byRows } of task.operands) {
      if (!slot || writes) continue;
      const source = this.recent.find((access) => access.slot === slot && access.writes);
      if (!source?.part) continue;
      const choice = followed(task, source.part, grid, byRows);
      if (choice && this.busies(task, choice) && !this.conflicts(this.accesses(task, choice))) return choice;
    }
    return undefined;
  }

  /** Whether a division has work for every thread. */
  private busies(task: Task, { split, width }: Choice): boolean {
    return (split === Split.rows ? task.rows : Math.ceil(task.columns / width)) >= this.options.threads;
  }

  /** A division on its own terms: by what its readers want, by rows when there are many, else by columns. */
  private fresh(task: Task): Choice {
    const units = task.units ?? firstWanted(task, this.wanted);
    const { threads } = this.options;
    const columns: Choice = { split: Split.units, width: units !== undefined && divides(task, units) ? task.columns / units : task.width ?? task.grain };
    const canColumns = task.columns > columns.width;
    if (task.rows >= 4 * threads && units === undefined) return { split: Split.rows, width: columns.width };
    return canColumns || task.rows === 1 ? columns : { split: Split.rows, width: columns.width };
  }

  private accesses(task: Task, choice: Choice): Access[] {
    const list: Access[] = [];
    for (const operand of task.operands) {
      const { slot, writes } = operand;
      if (slot && !this.own.has(slot)) list.push({ slot, writes, part: partOf(task, operand, choice) });
    }
    return list;
  }

  private conflicts(accesses: readonly Access[]): boolean {
    return accesses.some((access) => this.recent.some((earlier) =>
      (access.writes || earlier.writes) && overlap(access.slot, earlier.slot) && !(access.part !== undefined && access.slot === earlier.slot && access.part === earlier.part)));
  }
}

/** Names the share that each thread has of an operand; equal names, equal shares. Undefined: any thread may touch all of it. */
function partOf(task: Task, { grid, byRows }: TaskOperand, { split, width }: Choice): string | undefined {
  if (split === Split.rows) return byRows ? `rows/${task.rows}` : undefined;
  if (split === Split.whole || !grid) return undefined;
  const columns = (width * grid.columns) / task.columns;
  if (!Number.isInteger(columns) || columns % grid.grain !== 0 || (grid.columns !== task.columns && task.columns % width !== 0)) return undefined;
  return `${grid.rows}x${grid.columns}/${columns}`;
}

/** How `task` must be divided so that an operand's shares are those that `part` names. */
function followed(task: Task, part: string, grid: TaskOperand['grid'], byRows: boolean): Choice | undefined {
  const unit = task.width ?? task.grain;
  if (byRows && part === `rows/${task.rows}`) return { split: Split.rows, width: unit };
  const [shape, columns] = part.split('/');
  if (!grid || shape !== `${grid.rows}x${grid.columns}`) return undefined;
  const width = (Number(columns) * task.columns) / grid.columns;
  return Number.isInteger(width) && width % task.grain === 0 ? { split: Split.units, width } : undefined;
}

/** Whether two buffers share bytes. Buffers without a place yet get one of their own. */
function overlap(a: Slot, b: Slot): boolean {
  if (a === b) return true;
  if (a.address === undefined || b.address === undefined) return false;
  return a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}
