// What a WebAssembly engine can do, found by asking it whether the smallest module that uses it is valid.

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const functionOf = (...code: number[]) => [...header, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, code.length + 4, 1, code.length + 2, 0, ...code, 0x0b];
const FEATURES = {
  /** v128.const, drop */
  simd: functionOf(0xfd, 0x0c, ...new Array<number>(16).fill(0), 0x1a),
  /** A memory that is shared, of 1 to 1 pages. */
  threads: [...header, 5, 4, 1, 3, 1, 1],
  /** i32x4.relaxed_trunc_f32x4_s of a constant */
  relaxedSimd: functionOf(0xfd, 0x0c, ...new Array<number>(16).fill(0), 0xfd, 0x81, 0x02, 0x1a),
  /** A memory addressed by 64 bits, of at least 1 page. */
  memory64: [...header, 5, 3, 1, 4, 1],
} as const;

export type WebAssemblyFeature = keyof typeof FEATURES;

export function webAssemblyFeatures(): Record<WebAssemblyFeature, boolean> {
  const entries = Object.entries(FEATURES).map(([name, module]) => [name, WebAssembly.validate(Uint8Array.from(module))]);
  const valid = Object.fromEntries(entries) as Record<WebAssemblyFeature, boolean>;
  return { ...valid, memory64: valid.memory64 && makesMemory64() };
}

/** What TypeScript's description of the standard does not have yet. */
export interface Memory64Descriptor { readonly address: 'i64'; readonly initial: bigint; readonly maximum?: bigint; readonly shared?: boolean }

export function memory64(descriptor: Memory64Descriptor): WebAssembly.Memory {
  return new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
}

/** Engines that had 64-bit addresses behind a flag, before they were standard, take another descriptor. */
function makesMemory64(): boolean {
  try {
    memory64({ address: 'i64', initial: 0n });
    return true;
  } catch {
    return false;
  }
}
