// Every op that runs on the GPU, by name. What is missing here is composed, or fails by name.

import type { Kernel } from '../kernel.js';
import { attentionKernels } from './attention.js';
import { elementwiseKernels } from './elementwise.js';
import { gradientKernels } from './gradients.js';
import { matrixKernels } from './matrix.js';
import { rowAttentionKernels } from './row_attention.js';
import { rowKernels } from './rows.js';
import { samplingKernels } from './sampling.js';
import { updateKernels } from './updates.js';

const kernels: Readonly<Record<string, Kernel>> = {
  ...elementwiseKernels, ...rowKernels, ...matrixKernels, ...attentionKernels, ...samplingKernels, ...gradientKernels, ...rowAttentionKernels, ...updateKernels,
};

export function kernelOf(op: string): Kernel | undefined {
  return Object.hasOwn(kernels, op) ? kernels[op] : undefined;
}

export const kernelNames: readonly string[] = Object.keys(kernels);
