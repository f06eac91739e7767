// Element by element: add, mul, scale, activations, silu_mul. Operands are seen as rows x columns;
// a broadcast operand has one row for all.
// Numbers: columns, unit width, stride of the second operand's rows in elements, factor.

import { Kernel } from '../abi';
import { gelu4, sigmoid4, silu4, splat } from './math';
import { float, int, pointer, rowHi, rowLo, unitHi, unitLo } from './record';

// @ts-ignore: decorator
@inline function value(op: i32, a: v128, b: v128): v128 {
  if (op == Kernel.add) return f32x4.add(a, b);
  if (op == Kernel.mul || op == Kernel.scale) return f32x4.mul(a, b);
  if (op == Kernel.silu_mul) return f32x4.mul(silu4(a), b);
  if (op == Kernel.silu) return silu4(a);
  if (op == Kernel.gelu_tanh) return gelu4(a);
  return sigmoid4(a);
}

// @ts-ignore: decorator
@inline function binary(op: i32): void {
  const a = pointer(0), b = pointer(1), out = pointer(2), columns = int(0), width = int(1), stride = int(2);
  const lo = <usize>(unitLo * width) << 2, hi = <usize>min(unitHi * width, columns) << 2;
  for (let r = rowLo; r < rowHi; r++) {
    const x = a + (<usize>r * columns << 2), y = b + (<usize>r * stride << 2), z = out + (<usize>r * columns << 2);
    let i = lo;
    for (; i + 16 <= hi; i += 16) v128.store(z + i, value(op, v128.load(x + i), v128.load(y + i)));
    for (; i < hi; i += 4) store<f32>(z + i, f32x4.extract_lane(value(op, v128.load32_splat(x + i), v128.load32_splat(y + i)), 0));
  }
}

// @ts-ignore: decorator
@inline function unary(op: i32): void {
  const a = pointer(0), out = pointer(1), columns = int(0), width = int(1), b = splat(float(2));
  const lo = <usize>(unitLo * width) << 2, hi = <usize>min(unitHi * width, columns) << 2;
  for (let r = rowLo; r < rowHi; r++) {
    const x = a + (<usize>r * columns << 2), z = out + (<usize>r * columns << 2);
    let i = lo;
    for (; i + 16 <= hi; i += 16) v128.store(z + i, value(op, v128.load(x + i), b));
    for (; i < hi; i += 4) store<f32>(z + i, f32x4.extract_lane(value(op, v128.load32_splat(x + i), b), 0));
  }
}

export function add(): void { binary(Kernel.add); }
export function mul(): void { binary(Kernel.mul); }
export function siluMul(): void { binary(Kernel.silu_mul); }
export function scale(): void { unary(Kernel.scale); }
export function silu(): void { unary(Kernel.silu); }
export function geluTanh(): void { unary(Kernel.gelu_tanh); }
export function sigmoid(): void { unary(Kernel.sigmoid); }
