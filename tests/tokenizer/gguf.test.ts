// Tokenizers from GGUF metadata: llama.cpp's own vocabularies with its texts and ids, and small ones.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGguf, writeGguf } from '../../src/checkpoint/index.js';
import { ggufTokenizerMetadata, loadTokenizer, tokenizerFromFiles } from '../../src/tokenizer/index.js';
import type { Tokenizer } from '../../src/tokenizer/index.js';
import { ggufTokenizerFiles } from '../../src/tokenizer/gguf.js';
import type { MetadataValue } from '../../src/checkpoint/index.js';
import { collect } from '../checkpoint/helpers.js';
import { hasShared, shared } from '../support.js';

const folder = join(shared, 'assets/gguf-vocab');
const vocabularies = hasShared ? readdirSync(folder).filter((name) => name.endsWith('.gguf')) : [];

describe('llama.cpp vocabularies encode its texts to its ids', () => {
  if (vocabularies.length === 0) it.skip('(needs ../shared)', () => {});
  it.each(vocabularies)('%s', async (name) => {
    const tokenizer = await loadTokenizer(join(folder, name));
    const texts = readFileSync(join(folder, `${name}.inp`), 'utf8').split('\n__ggml_vocab_test__\n');
    const lines = readFileSync(join(folder, `${name}.out`), 'utf8').split('\n');
    const expected = texts.map((_, i) => lines[i].trim().split(/\s+/).filter(Boolean).map(Number));
    expect(texts.length).toBeGreaterThan(40);
    texts.forEach((text, i) => expect([text, tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, expected[i]]));
  });
});

// A byte-level vocabulary of single bytes and two merges, and a SentencePiece one.
const bytes = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i));
const byteLevel = (extra: Record<string, MetadataValue> = {}): Map<string, MetadataValue> => {
  const tokens = [...bytes, 'Ġ', 'Ċ', 'ab', 'abc', '<|end|>', '<|user|>', 'raw text'];
  const types = tokens.map((token) => (token.startsWith('<|') ? 3 : token === 'raw text' ? 4 : 1));
  return new Map<string, MetadataValue>(Object.entries({
    'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'gpt-2', 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': types,
    'tokenizer.ggml.merges': ['a b', 'ab c'], 'tokenizer.ggml.eos_token_id': tokens.indexOf('<|end|>'), ...extra,
  }));
};
const pieces = ['<unk>', '<s>', '</s>', ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`), '▁', 'a', 'b', '▁a', 'ab', '▁ab', '[INST]'];
const sentencePiece = (extra: Record<string, MetadataValue> = {}): Map<string, MetadataValue> => new Map<string, MetadataValue>(Object.entries({
  'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': pieces,
  'tokenizer.ggml.token_type': pieces.map((piece, id) => (id === 0 ? 2 : id < 3 ? 3 : piece.startsWith('<0x') ? 6 : piece === '[INST]' ? 4 : 1)),
  'tokenizer.ggml.scores': pieces.map((piece) => ({ '▁a': -3, ab: -1, '▁ab': -2 })[piece] ?? 0), ...extra,
}));
const open = (metadata: Map<string, MetadataValue>) => tokenizerFromFiles(ggufTokenizerFiles({ name: 'x.gguf', metadata }));
const encoded = async (metadata: Map<string, MetadataValue>, text: string) => {
  const tokenizer = (await open(metadata))!;
  return tokenizer.encode(text).map((id) => tokenizer.idToToken(id));
};

describe('a vocabulary in metadata', () => {
  it('of byte-level BPE merges in the order of its merges, and finds special tokens in the text', async () => {
    expect(await encoded(byteLevel(), 'abcab<|end|> a\n')).toEqual(['abc', 'ab', '<|end|>', 'Ġ', 'a', 'Ċ']);
    expect(await encoded(byteLevel(), 'my raw text')).toEqual(['m', 'y', 'Ġ', 'raw text']);
    const tokenizer = (await open(byteLevel()))!;
    expect(tokenizer.decode(tokenizer.encode('abc <|user|>x'))).toBe('abc <|user|>x');
    expect(tokenizer.decode(tokenizer.encode('a<|user|>b'), { skipSpecialTokens: true })).toBe('ab');
    expect(tokenizer.eosTokenId).toBe(98);
    expect(tokenizer.vocabularySize).toBe(101);
  });

  it('of SentencePiece merges by score, with bytes for what has no token', async () => {
    // "ab" scores higher than "▁a".
    expect(await encoded(sentencePiece(), 'ab aé')).toEqual(['<s>', '▁ab', '▁a', '<0xC3>', '<0xA9>']);
    expect(await encoded(sentencePiece({ 'tokenizer.ggml.add_space_prefix': false, 'tokenizer.ggml.add_bos_token': false }), 'ab[INST]a')).toEqual(['ab', '[INST]', 'a']);
    const tokenizer = (await open(sentencePiece()))!;
    expect(tokenizer.decode(tokenizer.encode('ab é', { addSpecialTokens: false }))).toBe('ab é');
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([1, 2]);
  });

  it('adds what its flags say, else what its kind implies', async () => {
    expect(await encoded(byteLevel({ 'tokenizer.ggml.bos_token_id': 99 }), 'a')).toEqual(['a']);
    expect(await encoded(byteLevel({ 'tokenizer.ggml.bos_token_id': 99, 'tokenizer.ggml.pre': 'llama-bpe' }), 'a')).toEqual(['<|user|>', 'a']);
    expect(await encoded(byteLevel({ 'tokenizer.ggml.bos_token_id': 99, 'tokenizer.ggml.add_bos_token': true, 'tokenizer.ggml.add_eos_token': true }), 'a')).toEqual(['<|user|>', 'a', '<|end|>']);
    expect(await encoded(sentencePiece({ 'tokenizer.ggml.add_eos_token': true }), 'a')).toEqual(['<s>', '▁a', '</s>']);
  });

  it('brings its chat template, several where it has several', async () => {
    const template = "{% for m in messages %}{{ '<|user|>' + m.content + '<|end|>' }}{% endfor %}";
    const tokenizer = (await open(byteLevel({ 'tokenizer.chat_template': template, 'tokenizer.chat_templates': ['tool_use'], 'tokenizer.chat_template.tool_use': 'with tools' })))!;
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'a' }])).toBe('<|user|>a<|end|>');
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'a' }], { tools: [{}] })).toBe('with tools');
    expect(tokenizer.endOfTurnIds).toEqual([98]);
  });

  it('is saved as files that read the same', async () => {
    const files = await (await open(sentencePiece()))!.originalFiles();
    const again = (await tokenizerFromFiles({ name: 'saved', read: async (name) => files.get(name) }))!;
    expect(again.encode('ab aé')).toEqual((await open(sentencePiece()))!.encode('ab aé'));
  });

  it('may be missing', async () => {
    expect(await open(new Map())).toBeUndefined();
    expect(await open(new Map([['tokenizer.ggml.model', 'none']]))).toBeUndefined();
  });

  it.each<[string, Map<string, MetadataValue>, string]>([
    ['another kind', byteLevel({ 'tokenizer.ggml.model': 'bert' }), 'of the kind "bert", which is not supported'],
    ['an unknown split', byteLevel({ 'tokenizer.ggml.pre': 'superbpe' }), 'by the rule "superbpe"'],
    ['no tokens', new Map([['tokenizer.ggml.model', 'gpt2']]), 'no tokenizer.ggml.tokens'],
    ['tokens that are numbers', byteLevel({ 'tokenizer.ggml.tokens': [1, 2] }), 'must be a list of strings'],
    ['too few types', byteLevel({ 'tokenizer.ggml.token_type': [1] }), '101 tokens but 1 token types'],
    ['no scores', sentencePiece({ 'tokenizer.ggml.scores': [0] }), '266 tokens but 1 scores'],
  ])('is refused for %s', async (_, metadata, reason) => {
    await expect(open(metadata)).rejects.toThrow(reason);
  });

  it('is refused without merges', async () => {
    const metadata = byteLevel();
    metadata.delete('tokenizer.ggml.merges');
    await expect(open(metadata)).rejects.toThrow('without tokenizer.ggml.merges');
  });
});

describe('a tokenizer written to GGUF', () => {
  const written = async (directory: string): Promise<[before: Tokenizer, after: Tokenizer, entries: Map<string, MetadataValue>]> => {
    const directoryFiles = { name: directory, read: async (name: string) => (existsSync(join(directory, name)) ? readFileSync(join(directory, name)) : undefined) };
    const entries = (await ggufTokenizerMetadata(directoryFiles, 0))!;
    const { metadata } = await readGguf(await collect(writeGguf(entries, [])));
    return [(await tokenizerFromFiles(directoryFiles))!, (await open(metadata))!, metadata];
  };
  const names = hasShared ? readdirSync(join(shared, 'assets/tokenizers')).filter((name) => existsSync(join(shared, 'assets/tokenizers', name, 'tokenizer.json'))) : [];
  // deepseek-r1 and smollm3 have the vocabularies of others here.
  const distinct = names.filter((name) => name !== 'deepseek-r1' && name !== 'smollm3');
  if (distinct.length === 0) it.skip('(needs ../shared)', () => {});
  it.each(distinct)('encodes as before: %s', async (name) => {
    const [before, after, metadata] = await written(join(shared, 'assets/tokenizers', name));
    const texts = JSON.parse(readFileSync(join(shared, 'reference/tokenizers.json'), 'utf8'))[name].cases.map(({ text }: { text: string }) => text);
    expect(texts.length).toBeGreaterThan(30);
    for (const text of texts) expect([text, after.encode(text)]).toEqual([text, before.encode(text)]);
    expect([after.bosTokenId, after.eosTokenId, after.chatTemplate]).toEqual([before.bosTokenId, before.eosTokenId, before.chatTemplate]);
    expect(metadata.get('tokenizer.ggml.model')).toBe(name === 'gemma3' ? 'llama' : 'gpt2');
  });

  it('of a small vocabulary, with unused ids filled', async () => {
    const files = await (await open(sentencePiece()))!.originalFiles();
    const entries = new Map(await ggufTokenizerMetadata({ name: 'x', read: async (name) => files.get(name) }, 300));
    const { metadata } = await readGguf(await collect(writeGguf(entries, [])));
    expect((metadata.get('tokenizer.ggml.tokens') as string[])[299]).toBe('[PAD299]');
    expect((metadata.get('tokenizer.ggml.token_type') as number[]).slice(258)).toEqual([6, 1, 1, 1, 1, 1, 1, 4, ...new Array(34).fill(5)]);
    expect(metadata.get('tokenizer.ggml.add_bos_token')).toBe(true);
    expect(await encoded(metadata, 'ab aé')).toEqual(['<s>', '▁ab', '▁a', '<0xC3>', '<0xA9>']);
  });

  it('is refused when llama.cpp has no name for how it splits', async () => {
    const files = await (await open(byteLevel()))!.originalFiles();
    const json = JSON.parse(new TextDecoder().decode(files.get('tokenizer.json')));
    json.pre_tokenizer.pretokenizers[0].pattern.Regex = 'x+';
    const changed = new Map([...files, ['tokenizer.json', new TextEncoder().encode(JSON.stringify(json))]]);
    await expect(ggufTokenizerMetadata({ name: 'x', read: async (name) => changed.get(name) }, 0)).rejects.toThrow('x: its tokenizer cannot be written to GGUF: llama.cpp has no name for the way');
    expect(await ggufTokenizerMetadata({ name: 'x', read: async () => undefined }, 0)).toBeUndefined();
  });
});
