// What designs of attention and of experts cost as the context grows: decode speed and bytes of keys
// and values on made-up weights in shapes of equal size, one design at a time. JSON on stdout, which
// scripts/draw-decode.mjs draws; a table on stderr. Run it on a built package.
//
//   node bench/designs.mjs [--contexts 512,2048,8192,32768] [--kv f32,f16] [--threads 2] [--steps 12] [--weights q8_0] [--dist ../dist]
//
// The shapes differ in attention only, and in the width of the feed-forward part, which is chosen so
// that all have the same number of parameters. A context is not computed (32k tokens
// of MHA alone would take a quarter of an hour): its pages are filled with made-up rows, and the
// decode steps behind it do what they always do, one sequence, logits read back; their median counts.

import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    contexts: { type: 'string', default: '512,2048,8192,32768' }, kv: { type: 'string', default: 'f32,f16' }, threads: { type: 'string', default: String(availableParallelism()) },
    steps: { type: 'string', default: '12' }, weights: { type: 'string', default: 'q8_0' }, dist: { type: 'string', default: '../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { createBackend, Engine } = await from('engine/index.js');
const { syntheticWeight } = await from('engine/synthetic.js');
const { encodeFloat32 } = await from('checkpoint/encode.js');
const { buildModel } = await from('models/index.js');
const { parameters } = await from('nn/index.js');
const { byteLength, elementCount, firstVisible, PAGE_TOKENS } = await from('tensor/index.js');

const contexts = options.contexts.split(',').map(Number);
const [threads, steps] = [Number(options.threads), Number(options.steps)];
/** Short steps are repeated for so long: whatever else the machine does comes and goes. */
const LEAST_MS = 1200;
const longest = Math.max(...contexts) + PAGE_TOKENS;

const [DIM, LAYERS, HEADS, HEAD_DIM, VOCABULARY, WINDOW] = [1024, 12, 16, 64, 32000, 1024];
const common = {
  vocab_size: VOCABULARY, hidden_size: DIM, num_hidden_layers: LAYERS, num_attention_heads: HEADS, max_position_embeddings: longest + 1024,
  rms_norm_eps: 1e-6, rope_theta: 1e6, tie_word_embeddings: true,
};
const llama = (keyHeads) => ({ ...common, model_type: 'llama', head_dim: HEAD_DIM, num_key_value_heads: keyHeads, hidden_act: 'silu', intermediate_size: 2048 });
const DESIGNS = [
  { name: 'MHA', what: '16 key/value heads (Llama)', config: llama(HEADS) },
  { name: 'GQA 4:1', what: '4 key/value heads (Llama)', config: llama(HEADS / 4) },
  { name: 'GQA 8:1', what: '2 key/value heads (Llama)', config: llama(HEADS / 8) },
  {
    name: 'MLA', what: 'a latent row of 256 + 32 (DeepSeek V3)', config: {
      ...common, model_type: 'deepseek_v3', hidden_act: 'silu', q_lora_rank: null, kv_lora_rank: 256, qk_nope_head_dim: HEAD_DIM, qk_rope_head_dim: 32, v_head_dim: HEAD_DIM, intermediate_size: 2048,
      first_k_dense_replace: LAYERS, n_routed_experts: 1, num_experts_per_tok: 1, moe_intermediate_size: 32, n_shared_experts: 0, topk_method: 'greedy', routed_scaling_factor: 1,
    },
  },
  {
    name: '5:1 windows', what: `16 key/value heads, five of six layers see ${WINDOW} tokens (Gemma 3)`, config: {
      ...common, model_type: 'gemma3_text', hidden_activation: 'gelu_pytorch_tanh', head_dim: HEAD_DIM, num_key_value_heads: HEADS, sliding_window: WINDOW, sliding_window_pattern: 6,
      query_pre_attn_scalar: HEAD_DIM, intermediate_size: 2048, torch_dtype: 'float32',
    },
  },
];
/** Of 32 experts, `active` a token. */
const mixture = (active) => ({
  ...common, model_type: 'qwen3_moe', head_dim: HEAD_DIM, num_key_value_heads: HEADS / 4, hidden_act: 'silu', intermediate_size: 256, moe_intermediate_size: 256,
  num_experts: 32, num_experts_per_tok: active, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [],
});

const count = (config) => parameters(buildModel(config).decoder).reduce((sum, { shape }) => sum + elementCount(shape), 0);

/** The same design with a feed-forward part that makes it as large as `total`, to a multiple of 32. */
function sized(config, total) {
  const width = config.intermediate_size;
  const each = (count({ ...config, intermediate_size: width + 32 }) - count(config)) / 32;
  return { ...config, intermediate_size: Math.round((width + (total - count(config)) / each) / 32) * 32 };
}

async function engineOf(config, kv) {
  const backend = await createBackend('wasm', { threads });
  let weightBytes = 0;
  const engine = Engine.create(config, backend, (parameter, device) => {
    const tensor = syntheticWeight(parameter, device, options.weights);
    weightBytes += byteLength(tensor.spec);
    return tensor;
  }, { contextLength: longest, kv });
  return { engine, weightBytes };
}

/** Makes every page that the longest context needs, at once, and writes made-up rows into all of them. */
async function preparePages({ device, runner }, kv) {
  const rows = encodeFloat32(kv, Float32Array.from({ length: 2 ** 20 }, (_, i) => Math.sin(i * 12.9898) * 1.5));
  for (const group of runner.kv.groups) {
    const seen = longest - Math.max(0, firstVisible(group.mask, longest - PAGE_TOKENS));
    group.grow(Math.ceil(seen / PAGE_TOKENS) + 1);
    for (const { k, v } of group.stores.values()) for (const store of v ? [k, v] : [k]) {
      const bytes = byteLength(store.spec);
      for (let at = 0; at < bytes; at += rows.length) device.backend.write(store.storage.id, at, rows.subarray(0, Math.min(rows.length, bytes - at)));
    }
  }
}

/** A sequence that is `length` tokens long without their having been computed. */
function pretend({ runner }, sequence, length) {
  runner.kv.groups.forEach((group, i) => {
    group.extend(sequence.lists[i], firstVisible(group.mask, length), length);
    group.forget(sequence.lists[i], length);
  });
  while (sequence.tokens.length < length) sequence.tokens.push((sequence.tokens.length * 7919 + 11) % VOCABULARY);
  sequence.cached = length;
}

/** Bytes of the pages in use. */
const usedBytes = ({ runner }) => runner.kv.groups.reduce((sum, group) => sum + (group.bytes / group.capacity) * group.used, 0);

async function decodeTimes({ runner }, sequence) {
  const times = [];
  const { length } = sequence;
  const began = performance.now();
  let token = 7;
  while (times.length < steps + 2 || performance.now() - began < LEAST_MS) {
    const start = performance.now();
    const [logits] = await runner.step([{ sequence, tokens: [token] }]);
    times.push(performance.now() - start);
    token = logits.indexOf(logits.reduce((a, b) => Math.max(a, b), -Infinity));
    if (!(token >= 0)) throw new Error('a step gave no finite logits');
    // The next step is at the same place again.
    sequence.tokens.length = sequence.cached = length;
  }
  // The first steps record the plan and touch its memory.
  return times.slice(2).sort((a, b) => a - b);
}

const rate = (milliseconds) => 1000 / milliseconds;

async function measure({ name, what, config }, kv) {
  const { engine, weightBytes } = await engineOf(config, kv);
  const points = [];
  try {
    await preparePages(engine, kv);
    const sequence = engine.runner.sequence();
    for (const context of contexts) {
      if (sequence.length > context) throw new Error('contexts must grow');
      pretend(engine, sequence, context);
      const kvBytes = usedBytes(engine);
      const times = await decodeTimes(engine, sequence);
      points.push({ context, kvBytes, tokensPerSecond: rate(times[times.length >> 1]), fastest: rate(times[0]), slowest: rate(times.at(-1)) });
      console.error(`${name.padEnd(12)} ${kv}  ${String(context).padStart(6)} tokens: ${points.at(-1).tokensPerSecond.toFixed(1).padStart(6)} tok/s (${rate(times.at(-1)).toFixed(1)} to ${rate(times[0]).toFixed(1)}), ${(kvBytes / 1e6).toFixed(1)} MB of keys and values`);
    }
  } finally {
    engine.dispose();
  }
  return { name, what, kv, parameters: count(config), feedForward: config.intermediate_size, weightBytes, points };
}

async function measureExperts(active) {
  const config = mixture(active);
  const { engine, weightBytes } = await engineOf(config, 'f32');
  try {
    await preparePages(engine, 'f32');
    const sequence = engine.runner.sequence();
    pretend(engine, sequence, 512);
    const times = await decodeTimes(engine, sequence);
    const unused = (1 - active / 32) * LAYERS * 32 * 3 * DIM * 256;
    console.error(`${active} of 32 experts: ${rate(times[times.length >> 1]).toFixed(1)} tok/s (${rate(times.at(-1)).toFixed(1)} to ${rate(times[0]).toFixed(1)})`);
    return { active, parameters: count(config), activeParameters: count(config) - unused, weightBytes, tokensPerSecond: rate(times[times.length >> 1]), fastest: rate(times[0]), slowest: rate(times.at(-1)) };
  } finally {
    engine.dispose();
  }
}

process.on('SIGINT', () => process.exit(130));
const total = count(DESIGNS[0].config);
const [load] = loadavg();
const designs = [];
for (const kv of options.kv.split(',')) for (const design of DESIGNS) designs.push(await measure({ ...design, config: sized(design.config, total) }, kv));
const experts = [];
for (const active of [1, 2, 4, 8]) experts.push(await measureExperts(active));
console.log(JSON.stringify({
  shape: { layers: LAYERS, hidden: DIM, heads: HEADS, headDim: HEAD_DIM, vocabulary: VOCABULARY, window: WINDOW, parameters: total }, weights: options.weights, threads, steps,
  machine: { cpu: cpus()[0]?.model.trim(), cores: availableParallelism(), loadBefore: load, node: process.version }, designs, experts,
}, null, 2));
