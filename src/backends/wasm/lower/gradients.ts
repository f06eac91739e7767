// matmul, gradients, the loss and the optimiser's update: see kernels/matmul.ts and gradients.ts.

import { elementCount } from '../../../tensor/index.js';
import type { AdamWAttrs, Spec } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byColumns, byRows, float, lastAxis, whole, written } from '../task.js';
import type { Ref, SlotCall, Task } from '../task.js';
import type { LowerContext, Lowering } from './lowering.js';

const allFloat = (inputs: readonly Spec[]) => inputs.every(({ dtype }) => dtype === 'f32');
/** Float32 all, but for indices. */
const floatAndIndices = (inputs: readonly Spec[]) => inputs.every(({ dtype }) => dtype === 'f32' || dtype === 'i32');
/** Elements that a thread takes at a time. */
const UNIT = 4096;
/** Scratch of `matmul`: a packed stretch of B and a spare tile. */
const MATMUL_SCRATCH = 256 * 32 + 4 * 32;

const lowering = (supports: Lowering['supports'], lower: (call: SlotCall, context: LowerContext) => Task | readonly Task[]): Lowering => ({
  supports, lower: (call, context) => { const tasks = lower(call, context); return 'kernel' in tasks ? [tasks] : [...tasks]; },
});

/** A task over rows that threads share out. */
function overRows(kernel: Kernel, rows: number, work: number, operands: Task['operands'], numbers: readonly number[]): Task {
  return { kernel, rows, columns: 1, grain: 1, work, operands, numbers };
}

const rowsOf = (x: Ref): number => elementCount(x.spec.shape) / lastAxis(x.spec);

const matmul = lowering(allFloat, ({ call, inputs: [a, b], outputs: [out] }) => {
  const { transposeA } = call.attrs as { transposeA: boolean };
  const [M, N] = out.spec.shape;
  const K = b.spec.shape[0];
  return { ...overRows(Kernel.matmul, M, M * N * K, [transposeA ? whole(a) : byRows(a), whole(b), written(byRows(out))], [M, K, N, Number(transposeA)]), scratch: MATMUL_SCRATCH };
});

const activation = (which: number) => lowering(allFloat, ({ inputs: [x, dy], outputs: [dx] }) => {
  const n = elementCount(x.spec.shape);
  return {
    kernel: Kernel.activation_grad, rows: 1, columns: n, grain: 1, width: UNIT, widthAt: [1, 1], work: n * 8,
    operands: [byColumns(x, 1, n), byColumns(dy, 1, n), written(byColumns(dx, 1, n))], numbers: [n, 0, which],
  };
});

const normGrad = (centred: boolean) => lowering(allFloat, ({ call, inputs: [x, dy, w], outputs: [dx, dw] }) => {
  const { eps, offset = 0 } = call.attrs as { eps: number; offset?: number };
  const operands = [byRows(x), byRows(dy), whole(w), written(byRows(dx)), written(byRows(dw))];
  return overRows(Kernel.norm_grad, rowsOf(x), elementCount(x.spec.shape) * 6, operands, [lastAxis(x.spec), float(eps), float(offset), Number(centred)]);
});

/** dx of two operands of one shape, row by row. */
const rowwise = (kernel: Kernel) => lowering(allFloat, ({ call, inputs: [x, dy], outputs: [dx] }) => {
  const { epsilon = 0 } = call.attrs as { epsilon?: number };
  return overRows(kernel, rowsOf(x), elementCount(x.spec.shape) * 3, [byRows(x), byRows(dy), written(byRows(dx))], [lastAxis(x.spec), float(epsilon)]);
});

const sumTo = lowering(allFloat, ({ inputs: [x], outputs: [out] }) => {
  const n = elementCount(out.spec.shape);
  const rows = elementCount(x.spec.shape) / n;
  return { kernel: Kernel.sum_to, rows: 1, columns: n, grain: 1, width: 16, widthAt: [2, 1], work: rows * n, operands: [byColumns(x, rows, n), written(byColumns(out, 1, n))], numbers: [rows, n, 0] };
});

const addRows = lowering(floatAndIndices, ({ inputs: [x, indices], outputs: [out] }) => {
  const [T, n] = x.spec.shape;
  const [rows] = out.spec.shape;
  return {
    kernel: Kernel.add_rows, rows: 1, columns: n, grain: 1, width: 16, widthAt: [2, 1], work: (T + rows) * n,
    operands: [byColumns(x, T, n), whole(indices), written(byColumns(out, rows, n))], numbers: [T, n, 0, rows],
  };
});

const scatter = lowering(floatAndIndices, ({ inputs: [x, indices], outputs: [out] }) =>
  overRows(Kernel.scatter, rowsOf(x), elementCount(out.spec.shape), [byRows(x), byRows(indices), written(byRows(out))], [lastAxis(x.spec), lastAxis(out.spec)]));

const pad = lowering(allFloat, ({ call, inputs: [x], outputs: [out] }) =>
  overRows(Kernel.pad, rowsOf(x), elementCount(out.spec.shape), [byRows(x), written(byRows(out))], [lastAxis(x.spec), (call.attrs as { start: number }).start, lastAxis(out.spec)]));

const combineGrad = lowering(allFloat, ({ inputs: [y, w, dout], outputs: [dy, dw] }) => {
  const [T, k, n] = y.spec.shape;
  return overRows(Kernel.combine_grad, T, T * k * n * 2, [byRows(y), byRows(w), byRows(dout), written(byRows(dy)), written(byRows(dw))], [k, n]);
});

const expertGradInput = lowering(floatAndIndices, ({ call, inputs: [dy, w, indices], outputs: [dx] }) => {
  const [T, k, O] = dy.spec.shape;
  const [E, , I] = w.spec.shape;
  const { shared } = call.attrs as { shared: boolean };
  return overRows(Kernel.expert_grad_input, T, T * k * O * I, [byRows(dy), whole(w), byRows(indices), written(byRows(dx))], [k, O, I, E, Number(shared)]);
});

const expertGradWeight = lowering(floatAndIndices, ({ inputs: [x, dy, indices], outputs: [dw] }) => {
  const [T, k, O] = dy.spec.shape;
  const [E, , I] = dw.spec.shape;
  return {
    kernel: Kernel.expert_grad_weight, rows: 1, columns: O, grain: 1, width: 4, widthAt: [6, 1], work: T * k * O * I,
    operands: [whole(x), whole(dy), whole(indices), written(whole(dw))], numbers: [T, k, O, I, E, Number(x.spec.shape.length === 3), 0],
  };
});

const headGrad = lowering(allFloat, ({ call, inputs: [wide, narrow], outputs: [dw] }) => {
  const [T, N, R] = wide.spec.shape;
  const { start, block } = call.attrs as { start: number; block: number };
  const used = lastAxis(narrow.spec);
  return overRows(Kernel.head_grad, N * block, T * N * used * R, [whole(wide), whole(narrow), written(byRows(dw))], [T, N, R, used, start, block]);
});

const crossEntropy = lowering(floatAndIndices, ({ inputs: [logits, targets], outputs: [loss] }, { temporary }) => {
  const [R, V] = logits.spec.shape;
  const losses: Ref = { slot: temporary(R * 4), spec: { shape: [R, 1], dtype: 'f32' } };
  return [
    overRows(Kernel.cross_entropy, R, R * V * 4, [byRows(logits), byRows(targets), written(byRows(losses))], [V]),
    overRows(Kernel.reduce, 1, R, [whole(losses), written(whole(loss))], [R, 0, 0]),
  ];
});

const crossEntropyGrad = lowering(floatAndIndices, ({ inputs: [logits, targets, dloss], outputs: [dx] }) => {
  const [R, V] = logits.spec.shape;
  return overRows(Kernel.cross_entropy_grad, R, R * V * 8, [byRows(logits), byRows(targets), whole(dloss), written(byRows(dx))], [V, R]);
});

const sumSquares = lowering(allFloat, ({ call, inputs: [sums, x] }) => {
  const n = elementCount(x.spec.shape);
  return overRows(Kernel.reduce, 1, n, [whole(x), written(whole(sums))], [n, 1, (call.attrs as { at: number }).at]);
});

const adamw = lowering(allFloat, ({ call, inputs: [parameter, mean, square, gradient, rates, clip] }) => {
  const { beta1, beta2, epsilon, weightDecay } = call.attrs as unknown as AdamWAttrs;
  const n = elementCount(parameter.spec.shape);
  const operands = [...[parameter, mean, square].map((ref) => written(byColumns(ref, 1, n))), byColumns(gradient, 1, n), whole(rates), whole(clip)];
  return { kernel: Kernel.adamw, rows: 1, columns: n, grain: 1, width: UNIT, widthAt: [1, 1], work: n * 10, operands, numbers: [n, 0, ...[beta1, 1 - beta1, beta2, 1 - beta2, epsilon, weightDecay].map(float)] };
});

export const gradients = {
  matmul, sigmoid_grad: activation(0), silu_grad: activation(1), gelu_tanh_grad: activation(2), rms_norm_grad: normGrad(false), layer_norm_grad: normGrad(true),
  softmax_grad: rowwise(Kernel.softmax_grad), normalize_sum_grad: rowwise(Kernel.normalize_sum_grad), sum_to: sumTo, add_rows: addRows, scatter, pad, combine_grad: combineGrad,
  expert_linear_grad_input: expertGradInput, expert_linear_grad_weight: expertGradWeight, head_linear_grad: headGrad, cross_entropy: crossEntropy,
  cross_entropy_grad: crossEntropyGrad, sum_squares: sumSquares, adamw,
};
