/**
 * Chat templates: a list of messages to the text that a model was trained to continue, by the Jinja
 * template that came with the checkpoint. The interpreter is `@huggingface/jinja`; this chooses the
 * template and gives it the variables and functions that transformers' `apply_chat_template` gives.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { isObject, readJson, readText, type LoadedFiles } from './files.js';

/** A message as the hub's templates expect it; further keys reach the template as they are. */
export interface ChatMessage {
  role: string;
  content?: string | readonly Record<string, unknown>[] | null;
  [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** End with the header of the assistant's turn, for the model to continue. Default false. */
  addGenerationPrompt?: boolean;
  /** Tools that the model may call, as JSON schemas of functions. */
  tools?: readonly unknown[];
  /** The time that `strftime_now` tells. Default: the present, in local time. */
  now?: Date;
  /** Any other key is a variable of the template: `enable_thinking`, `date_string`, … */
  [variable: string]: unknown;
}

/** Template texts by name; the usual one is `default`. */
export type NamedTemplates = ReadonlyMap<string, string>;

/**
 * Finds a checkpoint's templates: chat_template.jinja, else chat_template.json, else tokenizer_config.json.
 * @param fromConfig `chat_template` of tokenizer_config.json: a text, or a list of `{ name, template }`.
 */
export function readChatTemplates(files: LoadedFiles, fromConfig: unknown): NamedTemplates {
  const jinja = readText(files, 'chat_template.jinja');
  if (jinja !== undefined) return new Map([['default', jinja]]);
  const json = readJson(files, 'chat_template.json');
  return namedTemplates(json?.chat_template ?? fromConfig);
}

/** Understands `chat_template`; empty when there is none. */
export function namedTemplates(value: unknown): NamedTemplates {
  if (typeof value === 'string') return new Map([['default', value]]);
  if (!Array.isArray(value)) return new Map();
  return new Map(
    value.flatMap((entry) =>
      isObject(entry) && typeof entry.template === 'string' ? [[String(entry.name), entry.template] as const] : [],
    ),
  );
}

export class ChatTemplate {
  private readonly parsed = new Map<string, ReturnType<typeof parse>>();

  /**
   * @param templates texts by name.
   * @param namedTokens `bos_token`, `eos_token`, … given to every rendering.
   * @param place whose templates they are, for error messages.
   */
  constructor(
    private readonly templates: NamedTemplates,
    private readonly namedTokens: ReadonlyMap<string, string>,
    private readonly place: string,
  ) {}

  /** The text of the template for chats without tools. */
  get source(): string | undefined {
    return this.templates.get('default') ?? this.templates.values().next().value;
  }

  /**
   * Renders a chat.
   * @throws when there is no template, when it does not parse, or when it refuses the messages.
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    const { addGenerationPrompt = false, tools, now, ...variables } = options;
    const source = (tools && this.templates.get('tool_use')) ?? this.source;
    if (source === undefined) {
      throw new Error(
        `${this.place}: there is no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); give a plain prompt instead of messages.`,
      );
    }
    const program = this.parse(source);
    const environment = new Environment();
    const scope = {
      ...templateFunctions(now),
      ...Object.fromEntries(this.namedTokens),
      documents: null,
      ...variables,
      messages,
      tools: tools ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
    for (const [name, value] of Object.entries(scope)) environment.set(name, value);
    try {
      return (new Interpreter(environment).run(program) as { value: string }).value;
    } catch (error) {
      throw new Error(`${this.place}: the chat template does not accept these messages: ${(error as Error).message}`, { cause: error });
    }
  }

  private parse(source: string): ReturnType<typeof parse> {
    let program = this.parsed.get(source);
    if (!program) {
      try {
        program = parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
      } catch (error) {
        throw new Error(`${this.place}: the chat template is not valid Jinja: ${(error as Error).message}`, { cause: error });
      }
      this.parsed.set(source, program);
    }
    return program;
  }
}

/** What every template may call or name, besides Jinja's own. */
function templateFunctions(now: Date | undefined): Record<string, unknown> {
  return {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    range,
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    strftime_now: (format: string) => strftime(now ?? new Date(), format),
  };
}

/** Python's range. A range of 100,000 is Jinja's own sandbox limit. */
function range(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined ? [0, first] : [first, last];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= 100_000)) throw new Error('range() is limited to 100,000 steps, and its step must not be 0.');
  return Array.from({ length: count }, (_, i) => start + i * step);
}

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

/** Python's strftime in the C locale, whatever the language of this machine. */
export function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const hour12 = date.getHours() % 12 || 12;
  const midnight = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  const dayOfYear = (midnight - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000 + 1;
  const fields: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, ' '),
    j: String(dayOfYear).padStart(3, '0'),
    B: MONTHS[date.getMonth()],
    b: MONTHS[date.getMonth()].slice(0, 3),
    A: DAYS[date.getDay()],
    a: DAYS[date.getDay()].slice(0, 3),
    H: two(date.getHours()),
    I: two(hour12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    F: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
    T: `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`,
    '%': '%',
  };
  // `%-d` is the field without its padding.
  return format.replace(/%(-?)([A-Za-z%])/g, (directive, bare: string, field: string) => {
    const text = fields[field];
    return text === undefined ? directive : bare ? text.replace(/^[0 ]+(?=.)/, '') : text;
  });
}
