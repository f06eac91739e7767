// Which format a weight is held in: the stored or wanted one where the backend multiplies by it, else
// q8_0, else float32; and that every block format of GGUF loads with the numbers that it stands for.

import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { blockBytes, blockSize, dequantize } from '../../src/checkpoint/index.js';
import type { Checkpoint, StoredTensor } from '../../src/checkpoint/index.js';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import { Engine } from '../../src/engine/index.js';
import type { WeightFormat } from '../../src/engine/index.js';
import { parameters } from '../../src/nn/index.js';
import { byteLength, elementCount, f16Bits, View } from '../../src/tensor/index.js';
import type { Backend, Spec } from '../../src/tensor/index.js';
import { noise, relativeError } from '../support.js';
import { wasm } from '../wasm/support.js';

const config = {
  model_type: 'qwen3', vocab_size: 48, hidden_size: 256, intermediate_size: 512, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2,
  head_dim: 64, hidden_act: 'silu', max_position_embeddings: 64, rms_norm_eps: 1e-6, rope_theta: 1e4, tie_word_embeddings: false,
};
const shapes: Record<string, number[]> = {
  'model.embed_tokens.weight': [48, 256], 'lm_head.weight': [48, 256], 'model.norm.weight': [256],
  ...Object.fromEntries(Object.entries({
    'self_attn.q_proj': [256, 256], 'self_attn.k_proj': [128, 256], 'self_attn.v_proj': [128, 256], 'self_attn.o_proj': [256, 256], 'self_attn.q_norm': [64],
    'self_attn.k_norm': [64], 'mlp.gate_proj': [512, 256], 'mlp.up_proj': [512, 256], 'mlp.down_proj': [256, 512], input_layernorm: [256], post_attention_layernorm: [256],
  }).map(([name, shape]) => [`model.layers.0.${name}.weight`, shape])),
};

/** Where a format's f16 scales lie in a block. */
const SCALES: Record<string, number[]> = { Q4_0: [0], Q4_1: [0, 2], Q5_0: [0], Q8_0: [0], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208], Q3_K: [108] };

/** A tensor of random blocks; of ones for vectors. */
function tensor(name: string, type: string): StoredTensor {
  const shape = shapes[name];
  const vector = shape.length === 1;
  const count = elementCount(shape);
  const bytes = vector ? new Uint8Array(new Float32Array(count).fill(1).buffer) : blocks(type, count, name.length);
  return {
    name, file: 'model.gguf', shape, dtype: vector ? 'F32' : type, byteLength: bytes.length,
    read: async () => bytes, readRange: async (offset, length) => bytes.slice(offset, offset + length),
  };
}

function blocks(type: string, count: number, seed: number): Uint8Array {
  const size = blockBytes(type);
  const random = noise((count / blockSize(type)) * size, seed);
  const bytes = Uint8Array.from(random, (x) => Math.floor(Math.abs(x) * 1e6));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += size) for (const scale of SCALES[type]) view.setUint16(at + scale, f16Bits(random[at] / 500), true);
  return bytes;
}

/** A checkpoint with every matrix in `type`, but for those that `others` names. */
function checkpoint(type: string, others: Record<string, string> = {}): Checkpoint {
  const tensors = new Map(Object.keys(shapes).map((name) => [name, tensor(name, Object.entries(others).find(([part]) => name.includes(part))?.[1] ?? type)]));
  return { name: 'model.gguf', config, generationConfig: undefined, tensors, directory: undefined as unknown as Checkpoint['directory'], close: async () => {} };
}

/** A backend that multiplies by no matrix of these types. */
function lacking(...dtypes: string[]): Backend {
  return Object.assign(new ReferenceBackend(), { supports: (_op: string, inputs: readonly Spec[]) => !inputs.some(({ dtype }) => dtypes.includes(dtype)) });
}

async function load(stored: Checkpoint, backend: Backend, weights: WeightFormat = 'stored') {
  const warnings: string[] = [];
  const engine = await Engine.open(stored, backend, { weights, onWarning: (message) => warnings.push(message) });
  const specs = new Map(parameters(engine.decoder).map(({ path, tensor: { spec } }) => [path, spec.dtype]));
  return { engine, warnings, types: [...new Set([...specs].filter(([path]) => !path.includes('norm')).map(([, dtype]) => dtype))], specs };
}

async function numbers(engine: Engine, path: string): Promise<Float32Array> {
  const { tensor: { spec, storage } } = parameters(engine.decoder).find((p) => p.path === path)!;
  return new View(spec, await engine.device.backend.read(storage.id, 0, byteLength(spec))).toFloat32();
}

async function logits(engine: Engine): Promise<Float32Array> {
  const sequence = engine.runner.sequence();
  const [rows] = await engine.runner.step([{ sequence, tokens: [3, 44, 7, 9, 21, 0, 17], logits: 'all' }]);
  const [next] = await engine.runner.step([{ sequence, tokens: [11] }]);
  sequence.dispose();
  return Float32Array.of(...rows, ...next);
}

describe('block formats', () => {
  it.each([['Q4_0', 'q4_0'], ['Q8_0', 'q8_0'], ['Q4_K', 'q4_k'], ['Q6_K', 'q6_k']])('%s is held as it is stored', async (type, dtype) => {
    const stored = checkpoint(type);
    const { engine, warnings, types } = await load(stored, new ReferenceBackend());
    expect([types, warnings]).toEqual([[dtype], []]);
    const name = 'layers.0.mlp.up_proj.weight';
    expect(await numbers(engine, name)).toEqual(dequantize(type, await stored.tensors.get(`model.${name}`)!.read()));
    engine.dispose();
  });

  it.each(['Q4_1', 'Q5_0', 'Q5_K', 'Q3_K'])('%s is decoded and held as q8_0, and a warning says so', async (type) => {
    const stored = checkpoint(type);
    const { engine, warnings, types } = await load(stored, new ReferenceBackend());
    expect(types).toEqual(['q8_0']);
    expect(warnings).toEqual([`9 matrices are held as q8_0 instead of ${type}, which the reference backend does not compute with`]);
    const name = 'layers.0.mlp.down_proj.weight';
    const exact = dequantize(type, await stored.tensors.get(`model.${name}`)!.read());
    expect(await numbers(engine, name)).toEqual(dequantize('Q8_0', encodeFloat32('q8_0', exact)));
    engine.dispose();
  });

  it('a file of several computes on wasm what its definition says', async () => {
    const mixed = checkpoint('Q4_K', { down_proj: 'Q6_K', v_proj: 'Q6_K', lm_head: 'Q6_K', gate_proj: 'Q5_K', o_proj: 'Q4_0', k_proj: 'Q8_0' });
    const [want, got] = [await load(mixed, new ReferenceBackend()), await load(mixed, await wasm({ threads: 2, relaxedSimd: false }))];
    expect(got.specs).toEqual(want.specs);
    expect([...got.types].sort()).toEqual(['q4_0', 'q4_k', 'q6_k', 'q8_0']);
    expect(relativeError(await logits(got.engine), await logits(want.engine))).toBeLessThan(1e-3);
    for (const { engine } of [want, got]) engine.dispose();
  });

  it('NaN in the scales of one that is decoded is told of', async () => {
    const stored = checkpoint('Q5_0');
    const bytes = await stored.tensors.get('lm_head.weight')!.read();
    bytes.set([0, 0x7e], blockBytes('Q5_0') * 5);
    const { engine, warnings } = await load(stored, new ReferenceBackend());
    expect(warnings.slice(1)).toEqual(["tensor 'lm_head.weight' in model.gguf holds NaN or infinite numbers"]);
    engine.dispose();
  });

  it('counts the bytes that were stored as progress, whatever they become', async () => {
    const stored = checkpoint('Q3_K');
    const seen: [number, number][] = [];
    const engine = await Engine.open(stored, new ReferenceBackend(), { onProgress: ({ loaded, total }) => seen.push([loaded, total]) });
    const bytes = [...stored.tensors.values()].reduce((sum, { byteLength: n }) => sum + n, 0);
    expect(seen.at(-1)).toEqual([bytes, bytes]);
    engine.dispose();
  });
});

describe('a backend without kernels for a format', () => {
  it('gets q8_0 for it', async () => {
    const { engine, warnings, types } = await load(checkpoint('Q4_K', { v_proj: 'Q6_K' }), lacking('q4_k', 'q6_k'));
    expect(types).toEqual(['q8_0']);
    expect([...warnings].sort()).toEqual([
      '1 matrix is held as q8_0 instead of Q6_K, which the reference backend does not compute with',
      '8 matrices are held as q8_0 instead of Q4_K, which the reference backend does not compute with',
    ]);
    engine.dispose();
  });

  it('gets float32 where it has none for q8_0 either', async () => {
    const stored = checkpoint('Q4_0');
    const { engine, warnings, types } = await load(stored, lacking('q4_0', 'q8_0'));
    expect(types).toEqual(['f32']);
    expect(warnings).toEqual(['9 matrices are held as f32 instead of Q4_0, which the reference backend does not compute with']);
    expect(await numbers(engine, 'lm_head.weight')).toEqual(dequantize('Q4_0', await stored.tensors.get('lm_head.weight')!.read()));
    engine.dispose();
  });

  it('also when the format was asked for', async () => {
    const { engine, warnings, types } = await load(checkpoint('Q8_0'), lacking('q4_0'), 'q4_0');
    expect(types).toEqual(['q8_0']);
    expect(warnings).toEqual(['9 matrices are held as q8_0 instead of q4_0, which the reference backend does not compute with']);
    engine.dispose();
  });
});
