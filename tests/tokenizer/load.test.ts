/** Reading a tokenizer from files: which file wins, what is put around a text, special tokens, errors. */
import { describe, expect, it } from 'vitest';
import { tokenizerFromFiles } from '../../src/tokenizer/index.js';
import { load, memory, streamed } from './support.js';

const special = (id: number, content: string, isSpecial = true) => ({
  ...{ id, content, special: isSpecial },
  ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
});

/** A small byte-level vocabulary: letters, "hi", and added tokens. */
const json = {
  added_tokens: [special(5, '<s>'), special(6, '</s>'), special(7, '<tool>', false)],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [5], tokens: ['<s>'] } },
  },
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { h: 0, i: 1, Ġ: 2, hi: 3, '!': 4 }, merges: ['h i'] },
};

describe('what is put around a text', () => {
  it('is what tokenizer.json says', async () => {
    const tokenizer = await load(memory({ 'tokenizer.json': json }));
    expect(tokenizer.encode('hi!')).toEqual([5, 3, 4]);
    expect(tokenizer.encode('hi!', { addSpecialTokens: false })).toEqual([3, 4]);
    expect(tokenizer.encode('')).toEqual([5]);
    expect(tokenizer.bosTokenId).toBeUndefined();
  });

  it('is what tokenizer_config.json says, where it does', async () => {
    const roles = { bos_token: '<s>', eos_token: { content: '</s>' } };
    const framed = async (config: object) => (await load(memory({ 'tokenizer.json': json, 'tokenizer_config.json': { ...roles, ...config } }))).encode('hi');
    expect(await framed({})).toEqual([5, 3]);
    expect(await framed({ add_bos_token: false })).toEqual([3]);
    expect(await framed({ add_bos_token: true, add_eos_token: true })).toEqual([5, 3, 6]);
    expect(await framed({ add_bos_token: true, bos_token: null })).toEqual([3]);
  });

  it('leaves special tokens in the text recognised in any case', async () => {
    const tokenizer = await load(memory({ 'tokenizer.json': json }));
    expect(tokenizer.encode('hi</s> <tool>', { addSpecialTokens: false })).toEqual([3, 6, 2, 7]);
  });
});

describe('decoding', () => {
  it('gives nothing for no ids, nor for ids outside the vocabulary', async () => {
    const tokenizer = await load(memory({ 'tokenizer.json': json }));
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode([3, 99, -1, 4])).toBe('hi!');
    expect(streamed(tokenizer, [3, 99, 4])).toEqual(['hi', '', '!', '']);
  });

  it('leaves out control tokens when asked, not other added tokens', async () => {
    const tokenizer = await load(memory({ 'tokenizer.json': json }));
    expect(tokenizer.decode([5, 3, 7, 6])).toBe('<s>hi<tool></s>');
    expect(tokenizer.decode([5, 3, 7, 6], { skipSpecialTokens: true })).toBe('hi<tool>');
    expect(streamed(tokenizer, [5, 3, 7, 6], true)).toEqual(['', 'hi', '<tool>', '', '']);
  });

  it('counts as control tokens what the configuration names so', async () => {
    const config = { eos_token: '<tool>', additional_special_tokens: ['!'] };
    const tokenizer = await load(memory({ 'tokenizer.json': json, 'tokenizer_config.json': config }));
    expect(tokenizer.specialTokenIds).toEqual([4, 5, 6, 7]);
    expect(tokenizer.decode([3, 4, 7], { skipSpecialTokens: true })).toBe('hi');
  });
});

describe('files', () => {
  it('knows ids, tokens and the size of the vocabulary, with tokens that only the configuration adds', async () => {
    const config = { added_tokens_decoder: { 9: { content: '<image>', special: true }, 6: { content: 'ignored' } } };
    const tokenizer = await load(memory({ 'tokenizer.json': json, 'tokenizer_config.json': config }));
    expect(tokenizer.vocabularySize).toBe(10);
    expect(tokenizer.encode('hi<image>', { addSpecialTokens: false })).toEqual([3, 9]);
    expect([tokenizer.idToToken(6), tokenizer.idToToken(9), tokenizer.idToToken(8)]).toEqual(['</s>', '<image>', undefined]);
    expect([tokenizer.tokenToId('hi'), tokenizer.tokenToId('ho')]).toEqual([3, undefined]);
  });

  it('takes roles from special_tokens_map.json where tokenizer_config.json has none', async () => {
    const tokenizer = await load(
      memory({
        'tokenizer.json': json,
        'special_tokens_map.json': { bos_token: { content: '<s>' }, eos_token: '</s>' },
        'tokenizer_config.json': { bos_token: null, eos_token: '<tool>' },
      }),
    );
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([5, 7]);
  });

  it('gives back the original bytes of all tokenizer files and no others', async () => {
    const contents = { 'tokenizer.json': json, 'tokenizer_config.json': {}, 'merges.txt': 'h i', 'config.json': {} };
    const files = await (await load(memory(contents))).originalFiles();
    expect([...files.keys()].sort()).toEqual(['merges.txt', 'tokenizer.json', 'tokenizer_config.json']);
    expect(new TextDecoder().decode(files.get('tokenizer.json'))).toBe(JSON.stringify(json));
  });

  it('keeps the original bytes once asked for, when the source is gone', async () => {
    const source = memory({ 'tokenizer.json': json });
    let open = true;
    const tokenizer = await load({ name: source.name, read: (name) => (open ? source.read(name) : Promise.reject(new Error('closed'))) });
    await tokenizer.originalFiles();
    open = false;
    expect([...(await tokenizer.originalFiles()).keys()]).toEqual(['tokenizer.json']);
  });

  it('gives undefined where there is no tokenizer', async () => {
    expect(await tokenizerFromFiles(memory({ 'config.json': {} }))).toBeUndefined();
  });
});

describe('files that cannot be used', () => {
  const refused = (contents: Record<string, unknown>) => expect(tokenizerFromFiles(memory(contents))).rejects;

  it('tokenizer.json that is not JSON', () => refused({ 'tokenizer.json': '{"model": ' }).toThrow('test-model: tokenizer.json is not valid JSON'));
  it('tokenizer.json that is not an object', () => refused({ 'tokenizer.json': [] }).toThrow('test-model: tokenizer.json must hold a JSON object.'));
  it('tokenizer.json without a vocabulary', () =>
    refused({ 'tokenizer.json': { ...json, model: {} } }).toThrow('test-model: tokenizer.json cannot be used: it has no model.vocab.'));
  it('a decoder of another kind of model', () =>
    refused({ 'tokenizer.json': { ...json, decoder: { type: 'CTC' } } }).toThrow('decoder type "CTC" is not supported'));
  it('an unknown pre-tokenizer', () =>
    refused({ 'tokenizer.json': { ...json, pre_tokenizer: { type: 'Runes' } } }).toThrow('test-model: tokenizer.json cannot be used: Unknown PreTokenizer type: Runes'));
  it('a SentencePiece model alone', () =>
    refused({ 'tokenizer.model': Uint8Array.of(10, 14, 10, 5, 60, 117) }).toThrow(
      'test-model: tokenizer.model is a SentencePiece model; tokenizer.json is needed beside it.',
    ));
  it('vocab.json alone', () => refused({ 'vocab.json': {} }).toThrow('test-model: vocab.json is a vocabulary without its rules; tokenizer.json is needed'));
});
