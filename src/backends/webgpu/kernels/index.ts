// Every op that runs on the GPU, by name. What is missing here is composed, or fails by name.

import type { Kernel } from '../kernel.js';
import { attentionKernels } from './attention.js';
import { elementwiseKernels } from './elementwise.js';
import { matrixKernels } from './matrix.js';
import { rowKernels } from './rows.js';
import { samplingKernels } from './sampling.js';

const kernels: Readonly<Record<string, Kernel>> = { ...elementwiseKernels, ...rowKernels, ...matrixKernels, ...attentionKernels, ...samplingKernels };

export function kernelOf(op: string): Kernel | undefined {
  return Object.hasOwn(kernels, op) ? kernels[op] : undefined;
}

export const kernelNames: readonly string[] = Object.keys(kernels);
