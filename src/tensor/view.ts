// What a reference kernel sees of a tensor: its spec and typed access to its bytes.
// Slow and exact on purpose: stored formats are decoded a row at a time.

import {
  BLOCKS, byteLength, elementCount, F8_E4M3_TABLE, f16Table, scaleGrid, scaleOffset,
} from './dtype.js';
import type { Block } from './dtype.js';
import type { Spec } from './dtype.js';

export class View {
  readonly rowLength: number;
  readonly rowCount: number;

  constructor(readonly spec: Spec, readonly bytes: Uint8Array) {
    this.rowLength = spec.shape.at(-1) ?? 1;
    this.rowCount = this.rowLength === 0 ? 0 : elementCount(spec.shape) / this.rowLength;
  }

  /** All elements of an f32 tensor, as the memory itself. */
  get f32(): Float32Array {
    this.expect('f32');
    return new Float32Array(this.bytes.buffer, this.bytes.byteOffset, elementCount(this.spec.shape));
  }

  /** All elements of an i32 tensor, as the memory itself. */
  get i32(): Int32Array {
    this.expect('i32');
    return new Int32Array(this.bytes.buffer, this.bytes.byteOffset, elementCount(this.spec.shape));
  }

  /** Row `index` (all axes but the last collapsed) as float32; f32 rows are not copied. */
  row(index: number, scratch: Float32Array): Float32Array {
    const n = this.rowLength;
    if (this.spec.dtype === 'f32') return this.f32.subarray(index * n, index * n + n);
    decodeRow(this.spec, this.bytes, index, scratch);
    return scratch;
  }

  /** Everything as float32: the memory itself for f32, else decoded. */
  toFloat32(): Float32Array {
    if (this.spec.dtype === 'f32') return this.f32;
    const out = new Float32Array(elementCount(this.spec.shape));
    for (let r = 0; r < this.rowCount; r++) {
      decodeRow(this.spec, this.bytes, r, out.subarray(r * this.rowLength, (r + 1) * this.rowLength));
    }
    return out;
  }

  private expect(dtype: 'f32' | 'i32'): void {
    if (this.spec.dtype !== dtype) {
      throw new TypeError(`expected ${dtype}, got ${this.spec.dtype} [${this.spec.shape.join(', ')}]`);
    }
  }
}

/** Decodes row `index` of a tensor's bytes into `out` (length of a row). */
export function decodeRow(spec: Spec, bytes: Uint8Array, index: number, out: Float32Array): void {
  const n = spec.shape.at(-1) ?? 1;
  const at = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (spec.dtype) {
    case 'f32': for (let i = 0; i < n; i++) out[i] = at.getFloat32((index * n + i) * 4, true); return;
    case 'i32': for (let i = 0; i < n; i++) out[i] = at.getInt32((index * n + i) * 4, true); return;
    case 'bf16': {
      const codes = halves(bytes, index * n, n);
      const words = new Uint32Array(out.buffer, out.byteOffset, n);
      for (let i = 0; i < n; i++) words[i] = codes[i] << 16; // bf16 is the upper half of a float32
      return;
    }
    case 'f16': {
      const [codes, table] = [halves(bytes, index * n, n), f16Table()];
      for (let i = 0; i < n; i++) out[i] = table[codes[i]];
      return;
    }
    case 'f8_e4m3': return decodeF8Row(spec, bytes, at, index, out);
    case 'q8_0': case 'q4_0': case 'q4_k': case 'q6_k': return decodeBlocks(BLOCKS[spec.dtype], n, bytes, index, out);
    default: spec.dtype satisfies never;
  }
}

/** `count` 16-bit codes from element `first`; copied only where the bytes are not aligned. */
function halves(bytes: Uint8Array, first: number, count: number): Uint16Array {
  const start = bytes.byteOffset + first * 2;
  return start % 2 === 0 ? new Uint16Array(bytes.buffer, start, count) : new Uint16Array(bytes.slice(first * 2, (first + count) * 2).buffer);
}

function decodeF8Row(spec: Spec, bytes: Uint8Array, at: DataView, index: number, out: Float32Array): void {
  const n = spec.shape.at(-1) ?? 1;
  for (let i = 0; i < n; i++) out[i] = F8_E4M3_TABLE[bytes[index * n + i]];
  const grid = scaleGrid(spec);
  if (!grid || !spec.scaleBlock) return;
  const [blockRows, blockColumns] = spec.scaleBlock;
  const matrixRows = spec.shape.at(-2) ?? 1;
  const matrix = Math.floor(index / matrixRows);
  const scaleRow = matrix * grid.rows + Math.floor((index % matrixRows) / blockRows);
  const base = scaleOffset(spec) + scaleRow * grid.columns * 4;
  for (let i = 0; i < n; i++) out[i] *= at.getFloat32(base + Math.floor(i / blockColumns) * 4, true);
}

function decodeBlocks({ values, bytes: size, decode }: Block, n: number, bytes: Uint8Array, index: number, out: Float32Array): void {
  const half = f16Table();
  const blocks = n / values;
  for (let b = 0; b < blocks; b++) decode(bytes, (index * blocks + b) * size, out, b * values, half);
}

/** Bytes of `spec` must be there; one message for every backend. */
export function checkBytes(spec: Spec, available: number): void {
  const needed = byteLength(spec);
  if (available < needed) throw new RangeError(`tensor [${spec.shape.join(', ')}] ${spec.dtype} needs ${needed} bytes, buffer has ${available}`);
}
