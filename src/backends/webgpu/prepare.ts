// From a call to dispatches that can be encoded: picks pipelines, binds buffers, sizes grids.

import { byteLength, describeSpec } from '../../tensor/index.js';
import type { Call, Operand } from '../../tensor/index.js';
import type { Memory } from './buffers.js';
import { FAULT_BINDING } from './gpu.js';
import type { Gpu } from './gpu.js';
import type { Capabilities, Dispatch } from './kernel.js';
import { isScratch } from './kernel.js';
import { kernelOf } from './kernels/index.js';
import type { Prepared } from './stream.js';

/** How a call finds its memory: eager calls in the backend's slots, plans in their own buffers. */
export interface Binder {
  readonly gpu: Gpu;
  readonly faults: GPUBuffer;
  memory(operand: Operand): Memory;
  /** Bytes at which the operand begins in its memory; without it, none do elsewhere than at the beginning. */
  offset?(operand: Operand): number;
  /** Memory of at least `bytes` for a call's own use (see `scratch`): the same for the same index. */
  scratch(index: number, bytes: number): Memory;
  constants(words: readonly number[]): GPUBufferBinding;
  /** Whether what is bound now may be bound again: bind groups are kept then, with the memory they write first. */
  readonly recurs?: boolean;
}

/** Kept with one buffer: more than a prompt's step needs in the largest models. Where there would be more, all are made again. */
const MOST_BIND_GROUPS = 512;

/** What the call's kernel would dispatch; throws where there is none. */
export function dispatchesOf(call: Call, fault: number | undefined, capabilities: Capabilities): readonly Dispatch[] {
  const kernel = kernelOf(call.op);
  if (!kernel?.accepts(call.inputs.map((i) => i.spec), call.attrs, capabilities)) throw new Error(`there is no GPU kernel for ${call.inputs.map((i) => describeSpec(i.spec)).join(', ')}`);
  return [kernel.dispatch(call, fault ?? 0, capabilities)].flat();
}

/** Bytes of scratch memory by index. */
export function scratchBytes(dispatches: readonly Dispatch[]): number[] {
  const bytes: number[] = [];
  for (const operand of dispatches.flatMap((d) => [...d.writes, ...d.reads]).filter(isScratch)) {
    const index = -1 - operand.buffer;
    bytes[index] = Math.max(bytes[index] ?? 0, byteLength(operand.spec));
  }
  return Array.from(bytes, (size) => size ?? 0);
}

export function prepare(dispatch: Dispatch, faulty: boolean, binder: Binder): { prepared: Prepared; memories: Memory[] } {
  const { gpu } = binder;
  const operands = [...dispatch.writes, ...dispatch.reads, ...(dispatch.alsoWrites ?? [])];
  const memories = operands.map((operand) => (isScratch(operand) ? binder.scratch(-1 - operand.buffer, byteLength(operand.spec)) : binder.memory(operand)));
  const reports = faulty && dispatch.reports !== false;
  const pipeline = gpu.pipeline(dispatch, reports);
  const bound = operands.map((operand, i) => ({ memory: memories[i], offset: (operand.offset ?? 0) + (binder.offset?.(operand) ?? 0), size: boundBytes(operand.spec, gpu) }));
  const constants = binder.constants(dispatch.constants);
  const make = () => gpu.guarded(['validation'], () => gpu.device.createBindGroup({
    label: dispatch.source, layout: pipeline.layout, entries: [
      { binding: 0, resource: constants },
      ...bound.map(({ memory: { buffer }, offset, size }, i) => ({ binding: i + 1, resource: { buffer, offset, size } })),
      ...(reports ? [{ binding: FAULT_BINDING, resource: { buffer: binder.faults } }] : []),
    ],
  })).result;
  const key = () => `${pipeline.access} ${constants.offset} ${constants.size} ${bound.map(({ memory, offset, size }) => `${memory.id} ${offset} ${size}`).join(' ')}`;
  const bindings = binder.recurs ? kept(memories[0].bindGroups, key(), make) : make();
  return { prepared: { pipeline, bindings, ...grid(dispatch.groups, gpu) }, memories };
}

function kept(groups: Map<string, GPUBindGroup>, key: string, make: () => GPUBindGroup): GPUBindGroup {
  let found = groups.get(key);
  if (!found) {
    if (groups.size === MOST_BIND_GROUPS) groups.clear();
    groups.set(key, found = make());
  }
  return found;
}

function boundBytes(spec: Operand['spec'], { device }: Gpu): number {
  const bytes = Math.max(Math.ceil(byteLength(spec) / 4) * 4, 4);
  const most = device.limits.maxStorageBufferBindingSize;
  if (bytes > most) throw new Error(`a tensor ${describeSpec(spec)} takes ${bytes} bytes and this GPU lets a kernel see at most ${most}: use smaller weights or another backend`);
  return bytes;
}

/** `groups` workgroups in two dimensions; kernels drop the few too many. */
function grid(groups: number, { device }: Gpu): { x: number; y: number } {
  const most = device.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(groups / most);
  if (y > most) throw new Error(`the call needs ${groups} workgroups, more than this GPU can count`);
  return { x: Math.ceil(groups / Math.max(y, 1)), y };
}
