// What variants of the decode kernels reach on this GPU: products of a matrix and one token, attention
// of one token over a long context. Each variant runs in one pass, dispatch after dispatch over matrices
// (or pages) that together exceed the caches, and is timed by timestamps. Run it on a built package.
//
//   node bench/webgpu-kernels.mjs [--shapes 4096x4096,12288x4096] [--formats f16,q8_0] [--contexts 512,8192] [--dist ../dist]

import { parseArgs } from 'node:util';
import { openDevice } from './webgpu-device.mjs';

const { values: options } = parseArgs({
  options: {
    shapes: { type: 'string', default: '4096x4096,12288x4096,151936x4096' }, formats: { type: 'string', default: 'f16,q8_0' },
    contexts: { type: 'string', default: '512,8192' }, bytes: { type: 'string', default: '600e6' }, dist: { type: 'string', default: '../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { backend, device, timePasses, bandwidth } = await openDevice(from);
const { kernelOf } = await from('backends/webgpu/kernels/index.js');
const { prepare, scratchBytes } = await from('backends/webgpu/prepare.js');
const { byteLength } = await from('tensor/index.js');
const { gpu } = backend;
const total = Number(options.bytes);

/** A buffer of `spec` for prepared dispatches; numbers do not matter to the time. */
const memory = (spec) => ({ buffer: device.createBuffer({ size: Math.ceil(byteLength(spec) / 16) * 16, usage: 0x80 | 0x8 | 0x4 }), bytes: byteLength(spec) });
const operand = (spec, buffer) => ({ buffer, spec });

/** Dispatches of a call, changed by `change`, ready to encode; `memories` by buffer id. */
function ready(call, memories, change = (dispatch) => dispatch) {
  const dispatches = [kernelOf(call.op).dispatch(call, 0, gpu.capabilities)].flat().map(change);
  const scratch = scratchBytes(dispatches).map((bytes) => memory({ shape: [bytes / 4], dtype: 'f32' }));
  const faulty = kernelOf(call.op).fault !== undefined;
  return dispatches.map((dispatch) => prepare(dispatch, faulty, {
    gpu, faults: backend.stream.faults, memory: ({ buffer }) => memories.get(buffer), scratch: (index) => scratch[index],
    constants: (words) => {
      const buffer = device.createBuffer({ size: Math.ceil(words.length / 4) * 16, usage: 0x40 | 0x8 });
      device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
      return { buffer };
    },
  }).prepared);
}

/** Seconds of one call out of a chain over `calls`. */
async function time(calls) {
  const encode = (pass) => {
    for (const { pipeline, bindings, x, y } of calls.flat()) {
      pass.setPipeline(pipeline.pipeline);
      pass.setBindGroup(0, bindings);
      pass.dispatchWorkgroups(x, y);
    }
  };
  await timePasses([encode]);
  return Math.min(...await timePasses([encode, encode, encode])) / 1000 / calls.length;
}

async function attempt(name, run) {
  device.pushErrorScope('validation');
  const text = await run().catch((error) => `failed: ${error.message.split('\n')[0]}`);
  const error = await device.popErrorScope();
  console.log(`  ${name.padEnd(44)} ${error ? `refused: ${error.message.split('\n')[0]}` : text}`);
}

console.log(`read by a kernel: ${(await bandwidth() / 1e12).toFixed(2)} TB/s`);
const VARIANTS = [
  {}, { EACH: 1, UNROLL: 1 }, { EACH: 1, UNROLL: 2 }, { EACH: 1, UNROLL: 4 }, { EACH: 2, UNROLL: 1 }, { EACH: 2, UNROLL: 2 }, { EACH: 2, UNROLL: 4 }, { EACH: 4, UNROLL: 1 }, { EACH: 4, UNROLL: 2 },
  { EACH: 2, UNROLL: 2, LANES: 64 }, { EACH: 4, UNROLL: 2, LANES: 64 }, { EACH: 2, UNROLL: 2, LANES: 128 }, { EACH: 2, UNROLL: 2, GROUP: 64 }, { EACH: 2, UNROLL: 2, GROUP: 256 }, { EACH: 2, UNROLL: 2, SUBGROUP: 1 },
];
for (const shape of options.shapes.split(',')) for (const format of options.formats.split(',')) {
  const [rows, columns] = shape.split('x').map(Number);
  const weight = { shape: [rows, columns], dtype: format };
  const copies = Math.max(2, Math.ceil(total / byteLength(weight)));
  const specs = [{ shape: [1, columns], dtype: 'f32' }, { shape: [1, rows], dtype: 'f32' }];
  const memories = new Map(specs.map((spec, i) => [i + 1, memory(spec)]));
  for (let i = 0; i < copies; i++) memories.set(10 + i, memory(weight));
  const call = (i) => ({ op: 'linear', inputs: [operand(specs[0], 1), operand(weight, 10 + i)], outputs: [operand(specs[1], 2)], attrs: {}, path: '' });
  console.log(`linear ${shape} ${format}, one token, ${copies} matrices in turn:`);
  for (const variant of VARIANTS) await attempt(JSON.stringify(variant), async () => {
    const calls = Array.from({ length: copies }, (_, i) => ready(call(i), memories, (dispatch) => {
      const { GROUP = dispatch.group, ...rest } = variant;
      const parameters = { ...dispatch.parameters, ...rest };
      parameters.SUBGROUPS = parameters.SUBGROUP > 1;
      return { ...dispatch, parameters, group: GROUP, groups: Math.ceil(rows / ((GROUP / parameters.LANES) * parameters.EACH)) };
    }));
    const seconds = await time(calls);
    return `${(seconds * 1e6).toFixed(1)} us, ${(byteLength(weight) / seconds / 1e12).toFixed(2)} TB/s`;
  });
  for (const { buffer } of memories.values()) buffer.destroy();
}

const SHAPES = [{ name: 'Qwen3-0.6B', heads: 16, kvHeads: 8, width: 128 }, { name: 'Qwen3-8B', heads: 32, kvHeads: 8, width: 128 }];
for (const { name, heads, kvHeads, width } of SHAPES) for (const length of options.contexts.split(',').map(Number)) for (const dtype of ['f32', 'f16']) {
  const pages = Math.ceil(length / 64);
  const store = { shape: [pages, kvHeads, 64, width], dtype };
  const ints = (...extents) => ({ shape: extents, dtype: 'i32' });
  const specs = [{ shape: [1, heads, width], dtype: 'f32' }, ints(1), ints(1), ints(1, pages), { shape: [1, heads, width], dtype: 'f32' }];
  const memories = new Map(specs.map((spec, i) => [i + 1, memory(spec)]));
  const copies = Math.max(2, Math.min(64, Math.ceil(total / 2 / byteLength(store))));
  for (let i = 0; i < 2 * copies; i++) memories.set(10 + i, memory(store));
  device.queue.writeBuffer(memories.get(2).buffer, 0, new Int32Array([length - 1]));
  device.queue.writeBuffer(memories.get(4).buffer, 0, Int32Array.from({ length: pages }, (_, i) => i));
  const call = (i) => ({
    op: 'paged_attention', attrs: { scale: 0.1, valueDim: width }, path: '', outputs: [operand(specs[4], 5)],
    inputs: [operand(specs[0], 1), operand(store, 10 + 2 * i), operand(store, 11 + 2 * i), operand(specs[1], 2), operand(specs[2], 3), operand(specs[3], 4)],
  });
  console.log(`paged_attention of ${name}, one token behind ${length}, pages in ${dtype}:`);
  for (const variant of [{}, { SPLITS: 8 }, { SPLITS: 16 }, { SPLITS: 32 }, { SPLITS: 64 }, { SPLITS: 32, TEAM: 8 }, { SPLITS: 32, GROUP: 256 }, { SPLITS: 32, GROUP: 256, TEAM: 8 }, { SPLITS: 64, GROUP: 64 }, { SPLITS: 64, TEAM: 2 }]) await attempt(JSON.stringify(variant), async () => {
    const calls = Array.from({ length: copies }, (_, i) => ready(call(i), memories, (dispatch) => {
      const { GROUP = dispatch.group, ...rest } = variant;
      const { SPLITS: before } = dispatch.parameters;
      const scratched = ({ buffer, spec }) => ({ buffer, spec: buffer < 0 ? { ...spec, shape: [heads, rest.SPLITS ?? before, width + 4] } : spec });
      if (dispatch.source === 'paged_attention_merge') return { ...dispatch, parameters: { ...dispatch.parameters, SPLITS: rest.SPLITS ?? before }, reads: dispatch.reads.map(scratched) };
      return { ...dispatch, parameters: { ...dispatch.parameters, ...rest }, writes: dispatch.writes.map(scratched), group: GROUP, groups: (dispatch.groups / before) * (rest.SPLITS ?? before) };
    }));
    const seconds = await time(calls);
    return `${(seconds * 1e6).toFixed(1)} us, ${((2 * byteLength(store)) / seconds / 1e12).toFixed(2)} TB/s`;
  });
  for (const { buffer } of memories.values()) buffer.destroy();
}
backend.dispose();
process.exit(0);
