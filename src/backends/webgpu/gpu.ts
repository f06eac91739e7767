// One GPU device with what every model on it shares: pipelines, bind group layouts, its limits,
// and whether it was lost. Backends in a process share a device; the last one to go closes it.

import { platform } from '../../platform/index.js';
import { FAULT_BINDING, MAP_READ_MODE } from './flags.js';
import { assemble } from './template.js';
import type { Capabilities, Dispatch } from './kernel.js';
import { MATRIX_FEATURE, reportedUnits, workingUnit } from './matrix_units.js';
import { runTogether } from './residency.js';
import { workingSubgroup } from './subgroups.js';

export { FAULT_BINDING, Usage } from './flags.js';
const VISIBLE_TO_COMPUTE = 4;
/** Vendors on whose GPUs workgroups were seen to wait for each other without harm; on others it was not tried. */
const CHAINS_TRIED_ON: ReadonlySet<string> = new Set(['nvidia']);
/** With fewer, one dispatch after another is no slower. */
const LEAST_TOGETHER = { groups: 16, lanes: 512 };
/** Taken where the adapter has them. */
const OPTIONAL_FEATURES: readonly GPUFeatureName[] = ['subgroups', 'shader-f16', MATRIX_FEATURE];

export interface GpuOptions {
  /** Keeps WebGPU's default limits, to test that they suffice. */
  readonly defaultLimits?: boolean;
}

/** A compiled kernel; `failure` appears once the driver has refused it (see Watch). */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** How it uses each binding: the same for pipelines of the same layout. */
  readonly access: string;
  failure?: Error;
}

/** Late answers of the driver: which are still to come, and whether any was ever bad. */
export class Watch {
  troubled = false;
  private readonly pending = new Set<Promise<void>>();

  /** Calls `refuse` if the driver's answer is an error. */
  add(outcome: Promise<Error | undefined>, refuse: (error: Error) => void): void {
    const answered = outcome.then((error) => {
      this.pending.delete(answered);
      if (!error) return;
      this.troubled = true;
      refuse(error);
    });
    this.pending.add(answered);
  }

  /** Resolves when everything asked so far has been answered. */
  async settled(): Promise<void> {
    if (this.pending.size > 0) await Promise.all(this.pending);
  }
}

export class Gpu {
  /** Set when the device is gone; everything on it fails with this error. */
  lost: Error | undefined;
  readonly watch = new Watch();
  /** Tests put smaller limits here. */
  capabilities: Capabilities;
  private readonly pipelines = new Map<string, Pipeline>();
  private readonly layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();

  private constructor(readonly device: GPUDevice, readonly adapterName: string, { isFallbackAdapter }: GPUAdapterInfo) {
    const { maxStorageBufferBindingSize: bindingBytes, maxComputeWorkgroupStorageSize: workgroupBytes, maxStorageBuffersPerShaderStage: storageBuffers } = device.limits;
    this.capabilities = { bindingBytes, workgroupBytes, storageBuffers, busyGroups: isFallbackAdapter ? 8 : 512, subgroupLanes: 1, integerProducts: true };
    void device.lost.then(({ reason, message }) => {
      this.lost ??= new Error(`the GPU device was lost (${reason}${message ? `: ${message}` : ''}): dispose the model and load it again`);
    });
  }

  static async open(options: GpuOptions = {}): Promise<Gpu> {
    const { openGpu } = await platform();
    const { adapter, device } = await openGpu((found) => Gpu.describe(found, options));
    return Gpu.on(adapter, device);
  }

  /** What to ask of an adapter: its largest buffers, most of them and workgroups' memory, and the features that kernels have variants for. */
  static describe({ limits, features }: GPUAdapter, { defaultLimits = false }: GpuOptions = {}): GPUDeviceDescriptor {
    if (defaultLimits) return {};
    const wanted = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeWorkgroupStorageSize', 'maxStorageBuffersPerShaderStage', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX'] as const;
    return {
      requiredLimits: Object.fromEntries(wanted.map((name) => [name, limits[name]])),
      requiredFeatures: OPTIONAL_FEATURES.filter((name) => features.has(name)),
    };
  }

  /** A device that was opened as `describe` says. */
  static async on(adapter: GPUAdapter, device: GPUDevice): Promise<Gpu> {
    const { vendor, architecture, description } = adapter.info;
    const gpu = new Gpu(device, description || [vendor, architecture].filter(Boolean).join(' ') || 'unknown GPU', adapter.info);
    gpu.capabilities = { ...gpu.capabilities, subgroupLanes: await workingSubgroup(device, adapter.info) };
    if (gpu.capabilities.subgroupLanes > 1 && ['shader-f16', MATRIX_FEATURE].every((name) => device.features.has(name))) {
      const matrix = await workingUnit(device, reportedUnits(adapter.info), gpu.capabilities);
      gpu.capabilities = { ...gpu.capabilities, ...(matrix && { matrix }) };
    }
    const { maxComputeInvocationsPerWorkgroup: lanes = 0 } = device.limits;
    if (CHAINS_TRIED_ON.has(vendor) && !adapter.info.isFallbackAdapter && lanes >= LEAST_TOGETHER.lanes && gpu.capabilities.subgroupLanes > 1) {
      const groups = await runTogether(device, lanes);
      if (groups >= LEAST_TOGETHER.groups) gpu.capabilities = { ...gpu.capabilities, together: { groups, lanes } };
    }
    return gpu;
  }

  get pipelineCount(): number {
    return this.pipelines.size;
  }

  /** The pipeline for a dispatch, compiled on first use. */
  pipeline({ source, parameters = {}, group, writes, reads, alsoWrites = [] }: Dispatch, faults: boolean): Pipeline {
    const access = 'w'.repeat(writes.length) + 'r'.repeat(reads.length) + 'w'.repeat(alsoWrites.length) + (faults ? 'f' : '');
    const key = `${source} ${group} ${access} ${JSON.stringify(parameters)}`;
    let found = this.pipelines.get(key);
    if (!found) this.pipelines.set(key, found = this.compile(source, assemble(source, { GROUP: group, ...parameters }), access));
    return found;
  }

  /** Runs `body` and resolves with the first error that the driver reports about it. */
  guarded<T>(filters: readonly GPUErrorFilter[], body: () => T): { result: T; outcome: Promise<Error | undefined> } {
    for (const filter of filters) this.device.pushErrorScope(filter);
    try {
      const result = body();
      const popped = filters.map(() => this.device.popErrorScope());
      const outcome = Promise.all(popped).then((errors) => errors.find((e) => e) ?? undefined, () => undefined)
        .then((error) => error && new Error(firstLines(error.message)));
      return { result, outcome };
    } catch (error) {
      for (const _ of filters) void this.device.popErrorScope().catch(() => undefined);
      throw error;
    }
  }

  /** Bytes of a staging buffer once the work that fills it is done. */
  async mapped(staging: GPUBuffer, bytes: number): Promise<Uint8Array> {
    try {
      await staging.mapAsync(MAP_READ_MODE, 0, bytes);
    } catch (cause) {
      // A loss may be reported a moment after the mapping fails.
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      throw this.lost ?? new Error(`the GPU could not hand over a result of ${bytes} bytes: read fewer rows at a time`, { cause });
    }
    const copy = new Uint8Array(staging.getMappedRange(0, bytes)).slice();
    staging.unmap();
    return copy;
  }

  destroy(): void {
    this.device.destroy();
  }

  private compile(source: string, code: string, access: string): Pipeline {
    const layout = this.layout(access);
    const { result, outcome } = this.guarded(['validation', 'internal'], () => this.device.createComputePipeline({
      label: source, layout: layout.pipeline, compute: { module: this.device.createShaderModule({ label: source, code }), entryPoint: 'main' },
    }));
    const pipeline: Pipeline = { pipeline: result, layout: layout.group, access };
    this.watch.add(outcome, (error) => { pipeline.failure = new Error(`the driver refused kernel ${source}.wgsl: ${error.message}`); });
    return pipeline;
  }

  /** Layouts are explicit, so that a kernel variant may leave a binding unused. */
  private layout(access: string) {
    let found = this.layouts.get(access);
    if (!found) {
      const entry = (binding: number, type: GPUBufferBindingType): GPUBindGroupLayoutEntry => ({ binding, visibility: VISIBLE_TO_COMPUTE, buffer: { type } });
      const entries = [...access].map((kind, i) => (kind === 'f' ? entry(FAULT_BINDING, 'storage') : entry(i + 1, kind === 'w' ? 'storage' : 'read-only-storage')));
      const group = this.device.createBindGroupLayout({ entries: [entry(0, 'uniform'), ...entries] });
      found = { group, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      this.layouts.set(access, found);
    }
    return found;
  }
}

/** Drivers write essays; the first lines name the mistake. */
function firstLines(message: string): string {
  return message.split('\n').filter((line) => line.trim()).slice(0, 3).join(' ').slice(0, 600);
}

let current: { readonly opened: Promise<Gpu>; users: number } | undefined;

/** The process's device, opened on first use and again after a loss. Each must be released. */
export async function acquireGpu(): Promise<{ gpu: Gpu; release(): void }> {
  const holder = current ??= { opened: Gpu.open(), users: 0 };
  holder.users++;
  const release = once(() => {
    if (--holder.users > 0) return;
    if (current === holder) current = undefined;
    void holder.opened.then((gpu) => gpu.destroy(), () => undefined);
  });
  try {
    const gpu = await holder.opened;
    if (!gpu.lost) return { gpu, release };
  } catch (error) {
    release();
    throw error;
  }
  release();
  if (current === holder) current = undefined;
  return acquireGpu();
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
