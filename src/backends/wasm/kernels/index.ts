// The interpreter: runs a list of records from the first to the last, meeting the other threads
// where a record says so. Kernels are separate functions, so that the engine's optimising
// compiler takes over from its baseline one between calls.

import { CONTROL_PROGRESS, Kernel, RECORD_BYTES, WORD_BARRIER, WORD_KERNEL } from '../abi';
import { kvAppend, pagedAttention } from './attention';
import { barrier } from './barrier';
import { pack, unpack } from './blocks';
import {
  activationGrad, adamw, addRows, combineGrad, crossEntropy, crossEntropyGrad, expertGradInput, expertGradWeight, headGrad, normalizeSumGrad, normGrad, pad, reduce, scatter,
  softmaxGrad, sumTo,
} from './gradients';
import { expertLinear, linear, quantize } from './linear';
import { matmul } from './matmul';
import { addRmsNorm, layerNorm, normalizeSum, rmsNorm, softmax } from './norms';
import { add, geluTanh, mul, scale, sigmoid, silu, siluMul } from './pointwise';
import { rope, ropeTable, temperature } from './positions';
import { control, enter, rowHi, rowLo, select, unitHi, unitLo } from './record';
import { combine, gather, outer, topK } from './routing';
import { columnMax, rowAttention, rowAttentionGradKeys, rowAttentionGradQueries, rowAttentionMax } from './row_attention';
import { concat, copy, headLinear, slice, takeRows } from './rows';
import { sample, sampleParts } from './sampling';

// Addresses cross the border to JavaScript as its numbers are, so that builds with 32-bit and with 64-bit
// addresses are called alike.

/** The first byte of memory that this module does not use itself. */
export function heapBase(): f64 { return <f64>__heap_base; }

/**
 * Runs `count` records as thread `id` of `threads`. `controlBlock` is shared; `scratch` and
 * `arena` are this thread's alone. Returns 0, or 1 when another thread's trap ended the run.
 */
export function run(records: f64, count: i32, controlBlock: f64, id: i32, threads: i32, scratch: f64, arena: f64): i32 {
  enter(id, threads, <usize>controlBlock, <usize>scratch, <usize>arena);
  for (let i = 0, record = <usize>records; i < count; i++, record += RECORD_BYTES) {
    if (threads > 1 && load<i32>(record + (WORD_BARRIER << 2)) && !barrier()) return 1;
    store<i32>(control + ((CONTROL_PROGRESS + id) << 2), i);
    select(record);
    // A thread without a share stays away: kernels over rows do not look at units, and one that goes
    // over a row twice would undo what the thread that has it is doing.
    if (rowLo < rowHi && unitLo < unitHi) execute(load<i32>(record + (WORD_KERNEL << 2)));
  }
  return 0;
}

function execute(kernel: i32): void {
  switch (kernel) {
    case Kernel.copy: copy(); break;
    case Kernel.pack: pack(); break;
    case Kernel.unpack: unpack(); break;
    case Kernel.add: add(); break;
    case Kernel.mul: mul(); break;
    case Kernel.scale: scale(); break;
    case Kernel.silu: silu(); break;
    case Kernel.gelu_tanh: geluTanh(); break;
    case Kernel.sigmoid: sigmoid(); break;
    case Kernel.silu_mul: siluMul(); break;
    case Kernel.rms_norm: rmsNorm(); break;
    case Kernel.add_rms_norm: addRmsNorm(); break;
    case Kernel.layer_norm: layerNorm(); break;
    case Kernel.softmax: softmax(); break;
    case Kernel.normalize_sum: normalizeSum(); break;
    case Kernel.quantize: quantize(); break;
    case Kernel.linear: linear(); break;
    case Kernel.expert_linear: expertLinear(); break;
    case Kernel.head_linear: headLinear(); break;
    case Kernel.take_rows: takeRows(); break;
    case Kernel.slice: slice(); break;
    case Kernel.concat: concat(); break;
    case Kernel.gather: gather(); break;
    case Kernel.outer: outer(); break;
    case Kernel.combine: combine(); break;
    case Kernel.top_k: topK(); break;
    case Kernel.rope_table: ropeTable(); break;
    case Kernel.rope: rope(); break;
    case Kernel.temperature: temperature(); break;
    case Kernel.kv_append: kvAppend(); break;
    case Kernel.paged_attention: pagedAttention(); break;
    case Kernel.matmul: matmul(); break;
    case Kernel.activation_grad: activationGrad(); break;
    case Kernel.norm_grad: normGrad(); break;
    case Kernel.softmax_grad: softmaxGrad(); break;
    case Kernel.normalize_sum_grad: normalizeSumGrad(); break;
    case Kernel.sum_to: sumTo(); break;
    case Kernel.add_rows: addRows(); break;
    case Kernel.scatter: scatter(); break;
    case Kernel.pad: pad(); break;
    case Kernel.combine_grad: combineGrad(); break;
    case Kernel.expert_grad_input: expertGradInput(); break;
    case Kernel.expert_grad_weight: expertGradWeight(); break;
    case Kernel.head_grad: headGrad(); break;
    case Kernel.cross_entropy: crossEntropy(); break;
    case Kernel.cross_entropy_grad: crossEntropyGrad(); break;
    case Kernel.reduce: reduce(); break;
    case Kernel.adamw: adamw(); break;
    case Kernel.row_attention: rowAttention(); break;
    case Kernel.row_attention_max: rowAttentionMax(); break;
    case Kernel.column_max: columnMax(); break;
    case Kernel.row_attention_grad_queries: rowAttentionGradQueries(); break;
    case Kernel.row_attention_grad_keys: rowAttentionGradKeys(); break;
    case Kernel.sample_parts: sampleParts(); break;
    case Kernel.sample: sample(); break;
    default: unreachable();
  }
}
