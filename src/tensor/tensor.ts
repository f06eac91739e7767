// Tensors, their lifetimes, and how an op is applied to them.
//
// Eager semantics, deferred execution: `apply` infers shapes at once and appends a plain-data
// call. Ownership is counted on the buffer, not on the tensor, so a reshaped view never frees
// what it shows. Whatever has no owner dies with the innermost `scope`.

import type { Attrs, StreamedBuffer } from './backend.js';
import { byteLength, elementCount } from './dtype.js';
import type { Spec } from './dtype.js';
import type { Device } from './device.js';
import { currentPath } from './path.js';
import { getOp } from './op.js';
import { activeTape, withoutTape } from './tape-state.js';

export class Storage {
  owners = 0;
  freed = false;
  constructor(readonly device: Device, readonly bytes: number, readonly id: number = device.alloc(bytes)) {
    scopes.at(-1)?.add(this);
  }

  retain(): void {
    if (this.freed) throw new Error('a freed buffer cannot be retained');
    this.owners++;
  }

  release(): void {
    this.owners--;
    this.freeIfUnowned();
  }

  freeIfUnowned(): void {
    if (this.freed || this.owners > 0) return;
    this.freed = true;
    this.device.free(this.id, this.bytes);
  }
}

export class Tensor {
  constructor(readonly spec: Spec, readonly storage: Storage) {}

  get shape(): readonly number[] { return this.spec.shape; }
  get dtype() { return this.spec.dtype; }
  get device(): Device { return this.storage.device; }

  /** Reads the elements back as float32; the only verb that waits. */
  async toFloat32(): Promise<Float32Array> {
    if (this.dtype !== 'f32') throw new TypeError(`toFloat32: tensor is ${this.dtype}`);
    const bytes = await this.read();
    return new Float32Array(bytes.buffer, bytes.byteOffset, elementCount(this.shape));
  }

  /** Reads the elements back as 32-bit integers. */
  async toInt32(): Promise<Int32Array> {
    if (this.dtype !== 'i32') throw new TypeError(`toInt32: tensor is ${this.dtype}`);
    const bytes = await this.read();
    return new Int32Array(bytes.buffer, bytes.byteOffset, elementCount(this.shape));
  }

  /** Reads the bytes back as they are stored. */
  read(): Promise<Uint8Array> {
    if (this.storage.freed) throw new Error('read: the tensor was freed with its scope');
    return this.device.backend.read(this.storage.id, 0, byteLength(this.spec));
  }

  /** Makes this tensor outlive its scope; `release` ends that. */
  retain(): this { this.storage.retain(); return this; }
  release(): void { this.storage.release(); }

  /** Frees it before its scope ends, unless something owns it. */
  drop(): void { this.storage.freeIfUnowned(); }
}

const scopes: Set<Storage>[] = [];

/** Frees every tensor made by `body` except those it returns (alone, in arrays, maps or objects). */
export function scope<T>(body: () => T): T {
  const mine = new Set<Storage>();
  scopes.push(mine);
  let result: T | undefined;
  try {
    result = body();
    if (result instanceof Promise) throw new TypeError('scope: the body must be synchronous; read results after it returns');
    return result;
  } finally {
    scopes.pop();
    const kept = new Set<Storage>();
    if (!(result instanceof Promise)) collect(result, kept);
    for (const storage of mine) {
      if (kept.has(storage)) scopes.at(-1)?.add(storage);
      else storage.freeIfUnowned();
    }
  }
}

function collect(value: unknown, into: Set<Storage>): void {
  if (value instanceof Tensor) into.add(value.storage);
  else if (Array.isArray(value)) for (const item of value) collect(item, into);
  else if (value instanceof Map) for (const item of value.values()) collect(item, into);
  else if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) collect(item, into);
  }
}

/** A tensor with undefined contents. */
export function empty(device: Device, spec: Spec): Tensor {
  return new Tensor(spec, new Storage(device, byteLength(spec)));
}

/** Tensors whose contents are fetched when matrix products read them. */
export function streamed(device: Device, buffers: readonly StreamedBuffer[], cacheBytes: number): Tensor[] {
  return device.stream(buffers, cacheBytes).map((id, i) => new Tensor(buffers[i].spec, new Storage(device, byteLength(buffers[i].spec), id)));
}

/** A tensor with the given bytes (exactly `byteLength(spec)` of them). */
export function fromBytes(device: Device, spec: Spec, bytes: Uint8Array): Tensor {
  if (bytes.byteLength !== byteLength(spec)) {
    throw new RangeError(`fromBytes: [${spec.shape.join(', ')}] ${spec.dtype} takes ${byteLength(spec)} bytes, got ${bytes.byteLength}`);
  }
  const tensor = empty(device, spec);
  device.backend.write(tensor.storage.id, 0, bytes);
  return tensor;
}

/** A float32 or int32 tensor from a typed array. */
export function fromArray(device: Device, shape: readonly number[], values: Float32Array | Int32Array): Tensor {
  const dtype = values instanceof Float32Array ? 'f32' : 'i32';
  return fromBytes(device, { shape, dtype }, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** Applies the op called `name`: infers shapes, runs or composes it, and tells the tape. */
export function apply(name: string, inputs: readonly Tensor[], attrs: Attrs = {}): Tensor[] {
  const op = getOp(name);
  const device = inputs[0].device;
  for (const [i, input] of inputs.entries()) {
    if (input.storage.freed) throw new Error(`${name}: input ${i} was freed with its scope (${currentPath() || 'outside a model'})`);
  }
  const inputSpecs = inputs.map((t) => t.spec);
  const specs = op.infer(inputSpecs, attrs);
  if (device.backend.supports(name, inputSpecs, attrs)) {
    const outputs = run(name, device, inputs, specs, attrs);
    activeTape()?.record(op, inputs, outputs, attrs);
    return outputs;
  }
  const { compose } = op;
  if (!compose) {
    const dtypes = inputs.map((t) => t.dtype).join(', ');
    throw new Error(`${name} (${dtypes}) has no kernel on ${device.backend.name} and no composition${currentPath() ? ` at ${currentPath()}` : ''}`);
  }
  // An op with a gradient of its own is one entry on the tape; without, the tape looks inside.
  if (!op.vjp) return compose(inputs, attrs);
  const outputs = withoutTape(() => compose(inputs, attrs));
  activeTape()?.record(op, inputs, outputs, attrs);
  return outputs;
}

function run(name: string, device: Device, inputs: readonly Tensor[], specs: readonly Spec[], attrs: Attrs): Tensor[] {
  const outputs = specs.map((spec) => empty(device, spec));
  const operand = (t: Tensor) => ({ buffer: t.storage.id, spec: t.spec });
  device.append({ op: name, inputs: inputs.map(operand), outputs: outputs.map(operand), attrs, path: currentPath() });
  return outputs;
}

/** The same elements under another shape; shares the buffer. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  if (elementCount(shape) !== elementCount(x.shape)) {
    throw new TypeError(`reshape: [${x.shape.join(', ')}] has ${elementCount(x.shape)} elements, [${shape.join(', ')}] has ${elementCount(shape)}`);
  }
  const view = new Tensor({ ...x.spec, shape }, x.storage);
  activeTape()?.recordReshape(x, view);
  return view;
}
