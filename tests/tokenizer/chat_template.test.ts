/** Chat templates: where they are found, what they may use, and what ends a turn. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChatTemplate, strftime } from '../../src/tokenizer/chat_template.js';
import { findEndOfTurn } from '../../src/tokenizer/end_of_turn.js';
import type { ChatMessage } from '../../src/tokenizer/index.js';
import { assets, hasAssets, load, memory, whySkipped } from './support.js';

const added = (...contents: string[]) =>
  contents.map((content, id) => ({ id, content, special: !content.includes('tool_call>'), single_word: false, lstrip: false, rstrip: false, normalized: false }));

const json = {
  added_tokens: added('<s>', '</s>', '<|im_start|>', '<|im_end|>'),
  ...{ normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null },
  model: { type: 'BPE', vocab: { a: 4 }, merges: [] },
};
const hello: ChatMessage[] = [{ role: 'user', content: 'Hi' }];

async function render(files: Record<string, unknown>, options = {}, messages = hello): Promise<string> {
  return (await load(memory({ 'tokenizer.json': json, ...files }))).applyChatTemplate(messages, options);
}

const template = (source: string, tokens: Record<string, string> = {}) =>
  new ChatTemplate(new Map([['default', source]]), new Map(Object.entries(tokens)), 'test-model');

describe('where a template is found', () => {
  it('chat_template.jinja comes first, then chat_template.json, then tokenizer_config.json', async () => {
    const config = { 'tokenizer_config.json': { chat_template: 'config' } };
    const both = { ...config, 'chat_template.json': { chat_template: 'json' } };
    expect(await render(config)).toBe('config');
    expect(await render(both)).toBe('json');
    expect(await render({ ...both, 'chat_template.jinja': 'jinja' })).toBe('jinja');
  });

  it('of named templates, tools take tool_use and the rest default', async () => {
    const chat_template = [{ name: 'tool_use', template: 'tools: {{ tools | tojson }}' }, { name: 'default', template: 'plain' }];
    const config = { 'tokenizer_config.json': { chat_template } };
    expect(await render(config)).toBe('plain');
    expect(await render(config, { tools: [{ a: 1 }] })).toBe('tools: [{"a": 1}]');
  });

  it('without one, the error says so', async () => {
    await expect(render({})).rejects.toThrow('test-model: there is no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)');
    expect((await load(memory({ 'tokenizer.json': json }))).chatTemplate).toBeUndefined();
  });
});

describe('what a template may use', () => {
  const now = new Date(2026, 10, 4, 15, 7, 9);

  it('named tokens, written as text or as objects', async () => {
    const config = { chat_template: '{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}', bos_token: { content: '<s>' }, eos_token: '</s>', pad_token: null };
    expect(await render({ 'tokenizer_config.json': config })).toBe('<s></s>false');
  });

  it('the generation prompt, off by default, and variables of its own', () => {
    const chat = template('{{ add_generation_prompt }} {{ enable_thinking is defined and not enable_thinking }} {{ tools is none }}');
    expect(chat.render(hello)).toBe('false false true');
    expect(chat.render(hello, { addGenerationPrompt: true, enable_thinking: false, tools: [] })).toBe('true true false');
  });

  it('the date, pinned or present', () => {
    const chat = template('{{ strftime_now("%d %b %Y") }}');
    expect(chat.render(hello, { now })).toBe('04 Nov 2026');
    expect(chat.render(hello)).toBe(strftime(new Date(), '%d %b %Y'));
    expect(strftime(now, '%A %-d %B %y, %I:%M %p, day %j, %F %T, 100%%, %Q')).toBe('Wednesday 4 November 26, 03:07 PM, day 308, 2026-11-04 15:07:09, 100%, %Q');
  });

  it('tojson as Python writes it, without escaping HTML', () => {
    const tools = [{ name: 'é', text: '<a href="x">', list: [1, 2.5, true, null], empty: {} }];
    expect(template('{{ tools | tojson }}').render(hello, { tools })).toBe('[{"name": "é", "text": "<a href=\\"x\\">", "list": [1, 2.5, true, null], "empty": {}}]');
    expect(template('{{ tools[0].list | tojson(indent=1) }}').render(hello, { tools })).toBe('[\n 1,\n 2.5,\n true,\n null\n]');
  });

  it('blocks without the white space around them, as trim_blocks and lstrip_blocks have it', () => {
    const source = '  {% for m in messages %}\n    {% if m.role == "user" %}\nU: {{ m.content }}\n    {% endif %}\n  {% endfor %}\nend\n';
    expect(template(source).render(hello)).toBe('U: Hi\nend');
  });

  it('range, namespaces, macros, loop controls', () => {
    const source = "{% set ns = namespace(n=0) %}{% macro show(x) %}[{{ x }}]{% endmacro %}{% for i in range(5, 0, -2) %}{% if i == 1 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}{{ show(i) }}{% endfor %}{{ ns.n }}";
    expect(template(source).render(hello)).toBe('[5][3]8');
    expect(() => template('{{ range(10000000) }}').render(hello)).toThrow('range() is limited to 100,000 steps');
  });

  it('raise_exception, whose reason reaches the user', () => {
    expect(() => template("{{ raise_exception('Roles must alternate') }}").render(hello)).toThrow(
      'test-model: the chat template does not accept these messages: Roles must alternate',
    );
  });

  it('only Jinja that parses', () => {
    expect(() => template('{% if %}').render(hello)).toThrow('test-model: the chat template is not valid Jinja: ');
  });
});

describe('what ends a turn', () => {
  const ends = (source: string, tokens: ReturnType<typeof added>) =>
    findEndOfTurn(template(source), tokens).map((id) => tokens.find((token) => token.id === id)!.content);

  it('is the added token after the answer, and EOS', async () => {
    const chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    const tokenizer = await load(memory({ 'tokenizer.json': json, 'tokenizer_config.json': { chat_template, eos_token: '</s>' } }));
    expect(tokenizer.endOfTurnIds).toEqual([1, 3]);
  });

  it('is EOS alone without a template', async () => {
    const tokenizer = await load(memory({ 'tokenizer.json': json, 'tokenizer_config.json': { eos_token: '</s>' } }));
    expect(tokenizer.endOfTurnIds).toEqual([1]);
  });

  it('is a second token where calls of tools end otherwise, not a bracket of the call', () => {
    const source =
      "{% for m in messages %}{% if m.tool_calls %}<tool_call>{{ m.tool_calls[0].function.arguments | tojson }}</tool_call><|call|>{% else %}<|say|>{{ m.content }}<|done|>{% endif %}{% endfor %}";
    expect(ends(source, added('<|say|>', '<|done|>', '<|call|>', '<tool_call>', '</tool_call>'))).toEqual(['<|done|>', '<|call|>']);
  });

  it('may depend on a variable that the template asks after', () => {
    const source = "{% for m in messages %}{{ m.content }}{% if builtin_tools is defined %}<|eom|>{% else %}<|eot|>{% endif %}{% endfor %}";
    expect(ends(source, added('<|eot|>', '<|eom|>', '<|other|>'))).toEqual(['<|eot|>', '<|eom|>']);
  });

  it('is the header of the next turn where nothing else comes', () => {
    const source =
      "{% for m in messages %}{% if m.role == 'tool' %}<|observation|>{% elif m.role == 'user' %}<|user|>{% else %}<|assistant|>{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}{% endfor %}";
    expect(ends(source, added('<|user|>', '<|assistant|>', '<|observation|>', '<tool_call>', '</tool_call>'))).toEqual(['<|user|>', '<|observation|>']);
  });

  it('is nothing where the template refuses every chat', () => {
    expect(ends("{{ raise_exception('no') }}", added('<|eot|>'))).toEqual([]);
  });
});

const published = join(assets, 'chat-templates');
describe.skipIf(!hasAssets || !existsSync(published))(`published chat templates${whySkipped}`, () => {
  const llama = ['<|begin_of_text|>', '<|eot_id|>', '<|eom_id|>', '<|start_header_id|>', '<|end_header_id|>', '<|python_tag|>'];
  it.each([
    ['Qwen-Qwen3-0.6B', ['<|im_start|>', '<|im_end|>', '<tool_call>', '</tool_call>'], ['<|im_end|>']],
    ['HuggingFaceTB-SmolLM3-3B', ['<|im_start|>', '<|im_end|>'], ['<|im_end|>']],
    ['meta-llama-Llama-3.2-3B-Instruct', llama, ['<|eot_id|>']],
    ['Kimi-K2-Instruct', ['<|im_end|>', '<|im_user|>', '<|im_middle|>', '<|tool_calls_section_end|>', '<|tool_call_end|>'], ['<|im_end|>']],
    ['Mistral-Small-3.2-24B-Instruct-2506', ['<s>', '</s>', '[INST]', '[/INST]', '[TOOL_CALLS]'], ['</s>']],
    ['openai-gpt-oss-120b', ['<|start|>', '<|end|>', '<|return|>', '<|call|>', '<|channel|>', '<|message|>'], ['<|return|>', '<|call|>']],
    ['GLM-4.6', ['<|user|>', '<|assistant|>', '<|observation|>', '<tool_call>', '</tool_call>'], ['<|user|>', '<|observation|>']],
  ] as [string, string[], string[]][])('%s ends turns as its generation settings say', (name, tokens, expected) => {
    const source = readFileSync(join(published, `${name}.jinja`), 'utf8');
    const list = added(...tokens);
    const found = findEndOfTurn(template(source, { bos_token: '<s>', eos_token: '</s>' }), list);
    expect(found.map((id) => list[id].content)).toEqual(expected);
  });
});
