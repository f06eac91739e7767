// Products of matrices on the GPU, kernel by kernel: every tiling of the plain and of the matrix-unit
// kernel, checked against sums in float64 at random places, then timed. Run it on a built package.
//
//   node bench/webgpu-products.mjs [--check] [--shapes 2048x4096x4096,...] [--formats f16,q8_0] [--toggles disable_robustness] [--all]

import { parseArgs } from 'node:util';
import { openDevice } from './webgpu-device.mjs';
import { isScratch } from '../dist/backends/webgpu/kernel.js';
import { LANE_TILINGS, matrixTilings, product } from '../dist/backends/webgpu/kernels/product.js';
import { attentionError, reportedUnits } from '../dist/backends/webgpu/matrix_units.js';
import { prepare } from '../dist/backends/webgpu/prepare.js';
import { encodeFloat32 } from '../dist/checkpoint/encode.js';
import { byteLength, View } from '../dist/tensor/index.js';

const { values: options } = parseArgs({
  options: {
    check: { type: 'boolean', default: false }, all: { type: 'boolean', default: false }, formats: { type: 'string', default: 'f16,q8_0,f32' }, toggles: { type: 'string', default: '' },
    shapes: { type: 'string', default: '2048x4096x4096,2048x12288x4096,2048x4096x12288' },
    gradients: { type: 'string', default: '16384x128x128,16384x512x128' },
  },
});
const shapesOf = (text) => text.split(',').filter(Boolean).map((shape) => shape.split('x').map(Number));

const { adapter, gpu, device, timed, timePasses } = await openDevice((file) => import(`../dist/${file}`), options.toggles.split(',').filter(Boolean));
const { GPUBufferUsage, GPUMapMode } = globalThis;
const { info } = adapter;
console.log(`${info.description}, subgroups of ${info.subgroupMinSize} to ${info.subgroupMaxSize}, features in use: ${[...device.features].join(' ')}`);
console.log(`limits: ${['maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup'].map((name) => `${name} ${adapter.limits[name]}`).join(', ')}`);
console.log(`matrix units reported: ${[...info.subgroupMatrixConfigs ?? []].map((c) => `${c.componentType} ${c.M}x${c.N}x${c.K} ${c.resultComponentType}`).join(', ') || 'none'}; in use: ${JSON.stringify(gpu.capabilities.matrix)}`);
if (gpu.capabilities.matrix) console.log(`attention on them: largest error ${await attentionError(device, { ...gpu.capabilities, matrix: { ...gpu.capabilities.matrix, attention: true } })}`);

/** Deterministic numbers of about unit size. */
function noise(length, seed) {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function upload(bytes) {
  const buffer = device.createBuffer({ size: Math.ceil(bytes.byteLength / 16) * 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

let latest = {};
/** A, B as stored and as it reads back, and biases; kept until others are asked for. */
function numbers(m, n, k, format) {
  const key = [m, n, k, format].join();
  if (latest.key === key) return latest;
  const values = noise(n * k, 2).map((x) => x / 16);
  const bytesB = format === 'f32' ? values : encodeFloat32(format, values);
  const b = new View({ shape: [n, k], dtype: format }, new Uint8Array(bytesB.buffer, bytesB.byteOffset, bytesB.byteLength)).toFloat32();
  return latest = { key, a: noise(m * k, 1), bytesB, b, biases: noise(n, 3) };
}

/** A product's dispatches bound to buffers, with what they hold. */
function setUp({ m, n, k, format, tallA = false, tallB = false, bias = false }, capabilities, tiling) {
  const made = [];
  const keep = (buffer) => { made.push(buffer); return { buffer, bytes: buffer.size }; };
  const operand = (buffer, shape, dtype) => ({ buffer, spec: { shape, dtype } });
  const specB = { shape: tallB ? [k, n] : [n, k], dtype: format };
  const { a, bytesB, b, biases } = numbers(m, n, k, format);
  const memories = new Map([[1, keep(upload(a))], [2, keep(upload(bytesB))], [3, keep(upload(new Float32Array(m * n)))], [4, keep(upload(biases))]]);
  const dispatches = product({
    m, n, k, tallA, tallB, a: operand(1, tallA ? [k, m] : [m, k], 'f32'), b: { buffer: 2, spec: specB },
    ...(bias && { bias: operand(4, [n], 'f32') }), out: operand(3, [m, n], 'f32'),
  }, capabilities, { tiling });
  const scratch = new Map();
  const memoryOf = (each) => {
    if (!isScratch(each)) return memories.get(each.buffer);
    if (!scratch.has(each.buffer)) scratch.set(each.buffer, keep(upload(new Uint8Array(byteLength(each.spec)))));
    return scratch.get(each.buffer);
  };
  const prepared = dispatches.map((dispatch) => {
    for (const each of [...dispatch.writes, ...dispatch.reads]) memoryOf(each);
    return prepare(dispatch, false, {
      gpu, faults: undefined, memory: memoryOf,
      scratch: (index) => memoryOf({ buffer: -1 - index }),
      constants: (words) => {
        const buffer = device.createBuffer({ size: Math.ceil(words.length / 4) * 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
        device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
        made.push(buffer);
        return { buffer };
      },
    }).prepared;
  });
  return { a, b, biases, prepared, out: memories.get(3).buffer, dispose: () => { for (const buffer of made) buffer.destroy(); } };
}

function encode(pass, prepared) {
  for (const { pipeline, bindings, x, y } of prepared) {
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(x, y);
  }
}

async function readBack(buffer, bytes) {
  const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const copy = staging.getMappedRange().slice(0);
  staging.destroy();
  return copy;
}

/** The largest error at some places, over the largest of the right values. */
async function worst(what, { a, b, biases, prepared, out }) {
  const { m, n, k, tallA, tallB, bias } = what;
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encode(pass, prepared);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const got = new Float32Array(await readBack(out, m * n * 4));
  const failure = prepared.find(({ pipeline }) => pipeline.failure);
  if (failure) return failure.pipeline.failure.message;
  let [error, largest] = [0, 0];
  for (let i = 0; i < 4000; i++) {
    const at = i < m * n && m * n <= 4000 ? i : (i * 2654435761) % (m * n);
    const [row, column] = [Math.floor(at / n), at % n];
    let sum = bias ? biases[column] : 0;
    for (let j = 0; j < k; j++) sum += a[tallA ? j * m + row : row * k + j] * b[tallB ? j * n + column : column * k + j];
    error = Math.max(error, Number.isFinite(got[at]) ? Math.abs(got[at] - sum) : Infinity);
    largest = Math.max(largest, Math.abs(sum));
  }
  return error / largest;
}

/** Milliseconds of one run: the fastest of `runs` batches, once the clocks have risen. */
async function time(prepared, runs = 5) {
  const batch = (pass) => { for (let i = 0; i < 4; i++) encode(pass, prepared); };
  const times = [];
  for (let warm = 0; warm < 100;) warm += (await timePasses([batch]))[0];
  for (let run = 0; run < runs; run++) times.push(...await timePasses([batch]));
  return Math.min(...times) / 4;
}

const { matrix: unit, ...plain } = gpu.capabilities;
const describe = ({ tile, part, lanesPerPart, depth }) => `${tile.join('x')} of ${part.join('x')}, depth ${depth}${lanesPerPart > 1 ? ', matrix units' : ''}`;
const more = (tile, part, lanesPerPart, depth) => ({ tile, part, lanesPerPart, depth });
/** Every way to compute a product: capabilities and tiling. */
function variants({ format, tallA }) {
  const lanes = [...LANE_TILINGS.slice(0, 2), ...(options.all ? [more([128, 64], [8, 8], 1, 16), more([64, 64], [4, 8], 1, 16), more([128, 128], [8, 8], 1, 8), more([64, 128], [8, 8], 1, 16)] : [])]
    .map((tiling) => ({ name: describe(tiling), capabilities: plain, tiling }));
  // Where A lies by columns, units take float32 alone.
  const ways = unit && (!tallA || format === 'f32') ? reportedUnits(info).filter((u) => u.m === unit.m && u.n === unit.n && u.k === unit.k && (options.all || (u.vectors === unit.vectors && u.strideInNumbers === unit.strideInNumbers))) : [];
  const matrices = ways.flatMap((each) => {
    const s = each.subgroup;
    const extra = options.all ? [more([128, 128], [64, 32], s, 32), more([128, 128], [64, 32], s, 64), more([128, 128], [64, 64], s, 64), more([256, 128], [64, 64], s, 32), more([128, 64], [64, 32], s, 32), more([64, 128], [32, 64], s, 32)] : [];
    const capabilities = { ...plain, matrix: each, roundsFloats: true };
    return [...matrixTilings(each), ...extra].map((tiling) => ({ name: `${describe(tiling)}${each.vectors ? '' : ', scalar fill'}${each.strideInNumbers ? ', strides in numbers' : ''}`, capabilities, tiling }));
  });
  return [...(options.all ? lanes : lanes.slice(0, 1)), ...matrices];
}

if (options.check) {
  let bad = 0;
  const shapes = [[9, 70, 40], [33, 66, 516], [70, 67, 72], [130, 257, 100], [200, 140, 1000]];
  for (const [m, n, k] of shapes) {
    for (const format of ['f32', 'f16', 'q8_0']) {
      for (const [tallA, tallB] of [[false, false], [false, true], [true, true]]) {
        if (format === 'q8_0' && (tallB ? n : k) % 32) continue;
        const what = { m, n, k, format, tallA, tallB, bias: !tallB };
        const chosen = [{ name: 'as chosen', capabilities: gpu.capabilities }, ...variants(what), ...LANE_TILINGS.map((tiling) => ({ name: describe(tiling), capabilities: plain, tiling }))];
        for (const { name, capabilities, tiling } of chosen) {
          const setup = setUp(what, capabilities, tiling);
          const error = await worst(what, setup);
          // Rounding activations to f16 costs 2^-12 of each.
          const limit = capabilities.matrix && (format !== 'f32' || capabilities.roundsFloats) ? 1e-3 : 1e-5;
          if (!(error < limit)) { bad++; console.log(`  WRONG ${m}x${n}x${k} ${format} ${tallA ? 'A tall ' : ''}${tallB ? 'B tall ' : ''}${name}: ${error}`); }
          setup.dispose();
        }
      }
    }
  }
  console.log(`check: ${bad} wrong`);
}

async function measure(what) {
  const { m, n, k, format, tallA, tallB } = what;
  console.log(`${m} rows, ${n} x ${k} ${format}${tallA ? ', A tall' : ''}${tallB ? ', B tall' : ''}`);
  for (const { name, capabilities, tiling } of [...variants(what), { name: 'as chosen', capabilities: gpu.capabilities }]) {
    const setup = setUp(what, capabilities, tiling);
    const error = await worst(what, setup);
    const ms = timed && typeof error === 'number' ? await time(setup.prepared) : NaN;
    console.log(`  ${name.padEnd(56)} ${ms.toFixed(3).padStart(8)} ms ${((2e-9 * m * n * k) / ms).toFixed(1).padStart(7)} TFLOPS, error ${typeof error === 'number' ? error.toExponential(1) : error}`);
    setup.dispose();
  }
}

for (const [m, n, k] of shapesOf(options.shapes)) for (const format of options.formats.split(',')) await measure({ m, n, k, format });
// What training does with [m, k] through W [n, k]: forward, input gradient [m, n] W, weight gradient [m, n]^T [m, k].
for (const [m, n, k] of shapesOf(options.gradients)) {
  await measure({ m, n, k, format: 'f32' });
  await measure({ m, n: k, k: n, format: 'f32', tallB: true });
  await measure({ m: n, n: k, k: m, format: 'f32', tallA: true, tallB: true });
}
process.exit(0);
