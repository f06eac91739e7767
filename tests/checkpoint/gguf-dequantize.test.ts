// Every block format of GGUF against the values that llama.cpp's own Python package gives for the
// same random blocks.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blockBytes, blockSize, CheckpointError, dequantize, readSafetensors, toFloat32 } from '../../src/checkpoint/index.js';
import type { Safetensors } from '../../src/checkpoint/index.js';

const data = join(dirname(fileURLToPath(import.meta.url)), '../data/gguf_quants.safetensors');
const types = [
  'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_NL', 'IQ4_XS',
  'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S', 'IQ1_S', 'IQ1_M', 'TQ1_0', 'TQ2_0', 'MXFP4', 'BF16',
];

const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.slice().buffer);

describe('dequantize', () => {
  let file: Safetensors;
  beforeAll(async () => { file = await readSafetensors(data); });
  afterAll(() => file.close());

  const read = (name: string): Promise<Uint8Array> => file.tensors.get(name)!.read();

  it('has reference blocks of exactly these types', () => {
    expect([...file.tensors.keys()].filter((name) => name.endsWith('.blocks')).map((name) => name.slice(0, -7)).sort()).toEqual([...types].sort());
  });

  it.each(types)('%s equals the reference to the last bit', async (type) => {
    const blocks = await read(`${type}.blocks`);
    const values = toFloat32('F32', await read(`${type}.values`));
    expect(blocks.length / blockBytes(type)).toBe(values.length / blockSize(type));
    expect(bits(dequantize(type, blocks))).toEqual(bits(values));
  });

  it('reads plain numbers too', () => {
    expect(dequantize('F32', new Uint8Array(Float32Array.of(1.5, -2).buffer))).toEqual(Float32Array.of(1.5, -2));
    expect(dequantize('F16', Uint8Array.of(0x00, 0x3e, 0x00, 0xc0))).toEqual(Float32Array.of(1.5, -2));
    expect(dequantize('I8', Uint8Array.of(1, 255))).toEqual(Float32Array.of(1, -1));
  });

  it('does not care where in memory the bytes lie', async () => {
    const blocks = await read('Q6_K.blocks');
    const moved = new Uint8Array(blocks.length + 3);
    moved.set(blocks, 3);
    expect(dequantize('Q6_K', moved.subarray(3))).toEqual(dequantize('Q6_K', blocks));
  });

  it('gives nothing for no bytes', () => {
    for (const type of types) expect(dequantize(type, new Uint8Array(0))).toEqual(new Float32Array(0));
  });

  it('refuses what is not whole blocks, and types it does not know', () => {
    expect(() => dequantize('Q4_K', new Uint8Array(145))).toThrow(new CheckpointError('145 bytes are not a whole number of Q4_K blocks of 144 bytes'));
    expect(() => dequantize('F16', new Uint8Array(3))).toThrow(/whole number of F16/);
    expect(() => dequantize('Q9_X', new Uint8Array(0))).toThrow(/"Q9_X" is not a GGUF tensor type; known are F32, F16/);
    expect(() => dequantize('toString', new Uint8Array(0))).toThrow(CheckpointError);
  });
});
