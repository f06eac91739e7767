// Runs commands inside the test's process with captured streams, and makes tiny models of every
// kind of health for them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { main } from '../../src/cli/program.js';
import type { Io } from '../../src/cli/io.js';
import { temporaryFolder } from '../temporary.js';

export interface Ran { readonly code: number; readonly out: string; readonly err: string }

export interface FakeIo extends Io {
  readonly stdin: PassThrough & { isTTY?: boolean };
  out(): string;
  err(): string;
  interrupt(): void;
  /** Resolves when stdout holds the text. */
  saw(text: string): Promise<void>;
}

export interface FakeIoOptions { terminal?: boolean; columns?: number; input?: string; environment?: Record<string, string> }

export function fakeIo({ terminal = false, columns, input, environment = {} }: FakeIoOptions = {}): FakeIo {
  let [out, err] = ['', ''];
  const acts = new Set<() => void>();
  const watchers = new Set<() => void>();
  const sink = (take: (text: string) => void) => Object.assign(new Writable({
    write(chunk: Buffer, _encoding, done) { take(chunk.toString()); for (const watch of watchers) watch(); done(); },
  }), { isTTY: terminal, columns: columns ?? (terminal ? 80 : undefined) });
  const stdin = Object.assign(new PassThrough(), { isTTY: terminal });
  if (input !== undefined) stdin.end(input);
  return {
    stdin, stdout: sink((text) => { out += text; }), stderr: sink((text) => { err += text; }), environment,
    onInterrupt(act) { acts.add(act); return () => void acts.delete(act); },
    out: () => out, err: () => err,
    interrupt() { for (const act of [...acts]) act(); },
    saw: (text) => new Promise((resolve) => {
      const watch = () => { if (out.includes(text)) { watchers.delete(watch); resolve(); } };
      watchers.add(watch);
      watch();
    }),
  };
}

/** Runs the command line on its arguments and returns what it printed. */
export async function lamella(...argv: string[]): Promise<Ran> {
  return lamellaWith(fakeIo(), ...argv);
}

export async function lamellaWith(io: FakeIo, ...argv: string[]): Promise<Ran> {
  const code = await main(argv, io);
  return { code, out: io.out(), err: io.err() };
}

const [VOCABULARY, WIDTH, HIDDEN, LAYERS] = [260, 16, 32, 2];
export const tinyConfig = {
  model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: VOCABULARY, hidden_size: WIDTH, intermediate_size: HIDDEN, num_hidden_layers: LAYERS,
  num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true,
  hidden_act: 'silu', torch_dtype: 'float32', eos_token_id: 257,
};

export type Shapes = Record<string, number[]>;

/** The tensors that the tiny model needs, by name. */
export function tinyShapes(): Shapes {
  const shapes: Shapes = { 'model.embed_tokens.weight': [VOCABULARY, WIDTH], 'model.norm.weight': [WIDTH] };
  for (let i = 0; i < LAYERS; i++) {
    Object.assign(shapes, Object.fromEntries(Object.entries({
      'input_layernorm.weight': [WIDTH], 'post_attention_layernorm.weight': [WIDTH], 'self_attn.q_proj.weight': [WIDTH, WIDTH], 'self_attn.k_proj.weight': [8, WIDTH],
      'self_attn.v_proj.weight': [8, WIDTH], 'self_attn.o_proj.weight': [WIDTH, WIDTH], 'mlp.gate_proj.weight': [HIDDEN, WIDTH], 'mlp.up_proj.weight': [HIDDEN, WIDTH],
      'mlp.down_proj.weight': [WIDTH, HIDDEN],
    }).map(([name, shape]) => [`model.layers.${i}.${name}`, shape])));
  }
  return shapes;
}

/** A safetensors file of float32 tensors; `value` gives each number. */
export function safetensors(shapes: Shapes, value: (name: string, index: number) => number = noise): Uint8Array {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const end = offset + 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + offset);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  let at = 8 + json.length;
  for (const [name, shape] of Object.entries(shapes)) {
    for (let i = 0; i < shape.reduce((a, b) => a * b, 1); i++, at += 4) view.setFloat32(at, value(name, i), true);
  }
  return file;
}

function noise(name: string, index: number): number {
  return Math.sin((index + 1) * 12.9898 + name.length * 78.233) * 0.7;
}

export interface TinyOptions {
  config?: object;
  shapes?: Shapes;
  value?: (name: string, index: number) => number;
  template?: boolean;
  tokenizer?: boolean;
  /** Ids of the three added tokens; the first 256 are bytes. */
  firstAddedId?: number;
}

/** A directory with a tiny Llama whose tokens are bytes. */
export function tinyModel({ config = {}, shapes = tinyShapes(), value, template = false, tokenizer = true, firstAddedId = 256 }: TinyOptions = {}): string {
  const folder = temporaryFolder();
  const write = (name: string, content: object | Uint8Array) => writeFileSync(join(folder, name), content instanceof Uint8Array ? content : JSON.stringify(content));
  write('config.json', { ...tinyConfig, ...config });
  write('model.safetensors', safetensors(shapes, value));
  if (!tokenizer) return folder;
  const added = ['<|start|>', '<|end|>', '<|user|>'].map((content, i) => ({ id: firstAddedId + i, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }));
  write('tokenizer.json', {
    version: '1.0', added_tokens: added, normalizer: null, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    post_processor: null, decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])), merges: [] },
  });
  const chat = "{% for m in messages %}<|user|>{{ m.role }}: {{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>{% endif %}";
  write('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '<|end|>', add_bos_token: false, ...(template ? { chat_template: chat } : {}) });
  return folder;
}

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteCharacters(): string[] {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
}
