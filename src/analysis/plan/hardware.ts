// Machines: memory, bandwidth and arithmetic, each with the document that says so. Dense figures
// only (vendors double them for sparse matrices). What a vendor does not publish stays out: then
// nothing that needs it is predicted.

import type { Kind } from './efficiency.js';
import { near } from './near.js';

export interface Flops {
  readonly f32?: number;
  /** bf16 or f16 operands with float32 sums. */
  readonly bf16?: number;
  readonly fp8?: number;
}

export interface Hardware {
  readonly name: string;
  readonly kind: Kind;
  /** Bytes of one device. */
  readonly memory: number;
  /** Bytes per second. */
  readonly bandwidth: number;
  /** Operations per second, a multiplication and an addition counting two; null where nobody says. */
  readonly flops: Flops | null;
  /** How many stand in one machine: 8 in servers, at most 4 of the cards that people buy. */
  readonly perNode: number;
  readonly source: string;
}

/** One's own machine: bytes, bytes per second, operations per second. */
export interface OwnHardware { readonly memory: number; readonly bandwidth: number; readonly flops?: number; readonly kind?: Kind; readonly name?: string }

const [GB, TB, T] = [1e9, 1e12, 1e12];

const gpu = (name: string, memory: number, bandwidth: number, flops: Flops, source: string, perNode = 8): Hardware =>
  ({ name, kind: 'gpu', memory: memory * GB, bandwidth, flops, perNode, source });
const mac = (name: string, memory: number, bandwidth: number, f32: number | null, source: string): Hardware =>
  ({ name, kind: 'mac', memory: memory * GB, bandwidth: bandwidth * GB, flops: f32 === null ? null : { f32: f32 * T, bf16: f32 * T }, perNode: 1, source });
const phone = (name: string, memory: number, bandwidth: number, source: string): Hardware =>
  ({ name, kind: 'phone', memory: memory * GB, bandwidth: bandwidth * GB, flops: null, perNode: 1, source });
const cpu = (name: string, memory: number, bandwidth: number, f32: number, source: string): Hardware =>
  ({ name, kind: 'cpu', memory: memory * GB, bandwidth: bandwidth * GB, flops: { f32: f32 * T }, perNode: 1, source });

export const hardwareTable: readonly Hardware[] = [
  gpu('b200', 180, 8 * TB, { f32: 75 * T, bf16: 2250 * T, fp8: 4500 * T }, 'NVIDIA DGX B200 datasheet, 2024 (1,440 GB, 64 TB/s and 72 sparse FP8 PFLOPS over 8)'),
  gpu('h200', 141, 4.8 * TB, { f32: 67 * T, bf16: 989 * T, fp8: 1979 * T }, 'NVIDIA H200 datasheet, 2024 (SXM)'),
  gpu('h100', 80, 3.35 * TB, { f32: 67 * T, bf16: 989 * T, fp8: 1979 * T }, 'NVIDIA H100 datasheet, 2023 (SXM)'),
  gpu('h100-pcie', 80, 2 * TB, { f32: 51 * T, bf16: 756 * T, fp8: 1513 * T }, 'NVIDIA H100 datasheet, 2022 (PCIe)'),
  gpu('a100-80gb', 80, 2.039 * TB, { f32: 19.5 * T, bf16: 312 * T }, 'NVIDIA A100 datasheet, 2021 (80 GB SXM)'),
  gpu('a100-40gb', 40, 1.555 * TB, { f32: 19.5 * T, bf16: 312 * T }, 'NVIDIA A100 datasheet, 2020 (40 GB SXM)'),
  gpu('l40s', 48, 864 * GB, { f32: 91.6 * T, bf16: 362 * T, fp8: 733 * T }, 'NVIDIA L40S datasheet, 2023'),
  gpu('l4', 24, 300 * GB, { f32: 30.3 * T, bf16: 121 * T, fp8: 242 * T }, 'NVIDIA L4 datasheet, 2023'),
  gpu('a10', 24, 600 * GB, { f32: 31.2 * T, bf16: 125 * T }, 'NVIDIA A10 datasheet, 2021'),
  gpu('t4', 16, 320 * GB, { f32: 8.1 * T, bf16: 65 * T }, 'NVIDIA T4 datasheet, 2018 (its 16-bit figure is for f16)'),
  gpu('rtx-5090', 32, 1.792 * TB, { f32: 104.8 * T, bf16: 209.5 * T }, 'NVIDIA RTX Blackwell GPU architecture whitepaper, 2025', 4),
  gpu('rtx-4090', 24, 1.008 * TB, { f32: 82.6 * T, bf16: 165.2 * T, fp8: 330.3 * T }, 'NVIDIA Ada GPU architecture whitepaper, 2022', 4),
  gpu('rtx-3090', 24, 936 * GB, { f32: 35.6 * T, bf16: 71 * T }, 'NVIDIA Ampere GA102 GPU architecture whitepaper, 2020', 4),
  gpu('mi300x', 192, 5.3 * TB, { f32: 163.4 * T, bf16: 1307.4 * T, fp8: 2614.9 * T }, 'AMD Instinct MI300X data sheet, 2023'),
  mac('mac-m1-16gb', 16, 68.25, 2.6, 'Apple M1 press release, 2020 (2.6 TFLOPS); LPDDR4X-4266 on 128 bits'),
  mac('mac-m1-max-64gb', 64, 400, 10.4, 'Apple M1 Max press release, 2021'),
  mac('mac-m1-ultra-128gb', 128, 800, 21, 'Apple M1 Ultra press release, 2022'),
  mac('mac-m2-24gb', 24, 100, 3.6, 'Apple M2 press release, 2022'),
  mac('mac-m2-max-96gb', 96, 400, null, 'Apple M2 Max press release, 2023'),
  mac('mac-m2-ultra-192gb', 192, 800, null, 'Apple M2 Ultra press release, 2023'),
  mac('mac-m3-24gb', 24, 100, null, 'Apple MacBook Air (M3) technical specifications, 2024'),
  mac('mac-m3-ultra-512gb', 512, 819, null, 'Apple Mac Studio technical specifications, 2025'),
  mac('mac-m4-32gb', 32, 120, null, 'Apple Mac mini (M4) technical specifications, 2024'),
  mac('mac-m4-pro-64gb', 64, 273, null, 'Apple M4 Pro press release, 2024'),
  mac('mac-m4-max-128gb', 128, 546, null, 'Apple M4 Max press release, 2024'),
  phone('galaxy-s24-ultra', 12, 76.8, 'Samsung specifications, 2024 (12 GB); Qualcomm Snapdragon 8 Gen 3 product brief, 2023 (LPDDR5X at 4,800 MHz on 64 bits)'),
  phone('galaxy-s23-ultra', 8, 67.2, 'Samsung specifications, 2023 (8 GB); Qualcomm Snapdragon 8 Gen 2 product brief, 2022 (LPDDR5X at 4,200 MHz on 64 bits)'),
  cpu('epyc-9654-384gb', 384, 460.8, 7.37, 'AMD EPYC 9654 product page, 2022 (12 channels of DDR5-4800; 96 cores at 2.4 GHz x 32 operations a cycle)'),
  cpu('xeon-8480-256gb', 256, 307.2, 7.17, 'Intel Xeon Platinum 8480+ product page, 2023 (8 channels of DDR5-4800; 56 cores at 2.0 GHz x 64 operations a cycle)'),
  cpu('ryzen-7950x-64gb', 64, 83.2, 2.3, 'AMD Ryzen 9 7950X product page, 2022 (2 channels of DDR5-5200; 16 cores at 4.5 GHz x 32 operations a cycle)'),
  cpu('server-2-cores', 24, 31, 0.19, "measured for docs/planner.md, 2026: two reading threads on this project's test machine, a shared host; 2 cores taken at 3 GHz x 32 operations a cycle"),
];

/** An entry of the table by name, or one's own machine checked. */
export function findHardware(wanted: string | OwnHardware): Hardware {
  if (typeof wanted !== 'string') return ownHardware(wanted);
  const found = hardwareTable.find(({ name }) => name === wanted.trim().toLowerCase().replace(/[\s_]+/g, '-'));
  if (found) return found;
  const close = near(wanted, hardwareTable.map(({ name }) => name));
  throw new RangeError(`no hardware is called '${wanted}'${close.length > 0 ? ` (near it: ${close.join(', ')})` : ''}: --list-hardware names all, or give memory, bandwidth and flops of your own`);
}

const LEAST = { memory: 2 ** 20, bandwidth: 1e6, flops: 1e6 };
const MOST = { memory: 1e16, bandwidth: 1e16, flops: 1e20 };

function ownHardware({ memory, bandwidth, flops, kind = 'gpu', name = 'your own' }: OwnHardware): Hardware {
  for (const [key, value] of [['memory', memory], ['bandwidth', bandwidth], ['flops', flops]] as const) {
    if (value === undefined && key === 'flops') continue;
    const [least, most] = [LEAST[key], MOST[key]];
    if (!(typeof value === 'number' && value >= least && value <= most)) throw new RangeError(`${key} must be from ${least} to ${most} ${key === 'memory' ? 'bytes' : key === 'bandwidth' ? 'bytes per second' : 'operations per second'}, got ${value}`);
  }
  return { name, kind, memory, bandwidth, flops: flops === undefined ? null : { f32: flops, bf16: flops, fp8: flops }, perNode: kind === 'gpu' ? 8 : 1, source: 'given' };
}

/** Operations per second for weights that are multiplied in this precision, or the next wider one that is known. */
export function flopsFor({ flops }: Hardware, precision: keyof Flops): number | null {
  const order = (['fp8', 'bf16', 'f32'] as const).slice(['fp8', 'bf16', 'f32'].indexOf(precision));
  for (const each of order) if (flops?.[each] !== undefined) return flops[each];
  return null;
}
