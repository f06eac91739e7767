/**
 * Tokens to text, incrementally: the `decoder` section of tokenizer.json as a chain of stages, each of
 * which passes on text as soon as nothing that follows can change it. Decoding a whole list is pushing
 * every token and ending, so a streamed text always equals the decoded one.
 *
 * The rules are those of the `tokenizers` crate (decoders/). Decoders of encoder-only and speech models
 * (WordPiece, BPEDecoder, CTC) are not here.
 */
import { alphabetToBytes } from './byte_level.js';
import { isObject, type JsonObject } from './files.js';

/** One step from tokens to text. After `end` a stage is at its start again. */
export interface Stage {
  push(piece: string): string[];
  end(): string[];
}

/** Joins UTF-8 bytes to text, holding back a character until its last byte has come. */
export class Utf8Stream {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  push(bytes: Uint8Array): string {
    return this.decoder.decode(bytes, { stream: true });
  }
  end(): string {
    return this.decoder.decode();
  }
}

/**
 * Builds the stage for a `decoder` section.
 * @throws when the section names a decoder that is not supported.
 */
export function createDecoder(config: unknown): Stage {
  if (config === null || config === undefined) return joinWithSpaces();
  const list = flatten(config);
  return chain(list.map((item, i) => createStage(item, list.slice(0, i), list.slice(i + 1))));
}

function flatten(config: unknown): JsonObject[] {
  if (!isObject(config)) throw new Error('decoder must be an object with a type.');
  return config.type === 'Sequence' ? (config.decoders as unknown[]).flatMap(flatten) : [config];
}

function createStage(config: JsonObject, before: JsonObject[], after: JsonObject[]): Stage {
  switch (config.type) {
    case 'ByteLevel':
      return byteLevel();
    case 'ByteFallback':
      return byteFallback();
    case 'Replace':
      return replace(config);
    case 'Metaspace':
      return metaspace(config);
    case 'Fuse':
      return after.every(worksOnAnyPart) ? eachPiece((piece) => piece) : fuse();
    case 'Strip':
      return strip(config, before.some(({ type }) => type === 'Fuse'));
    default:
      throw new Error(
        `decoder type ${JSON.stringify(config.type)} is not supported (ByteLevel, ByteFallback, Replace, Metaspace, Fuse, Strip and Sequence are).`,
      );
  }
}

/** Whether a stage after Fuse gives the same text when the fused token comes in parts. */
function worksOnAnyPart(config: JsonObject): boolean {
  if (config.type === 'Replace') return [...patternString(config)].length === 1;
  return config.type === 'Strip' || config.type === 'Fuse';
}

function patternString(config: JsonObject): string {
  const pattern = config.pattern;
  if (isObject(pattern) && typeof pattern.String === 'string') return pattern.String;
  throw new Error('a Replace decoder needs a pattern of the form {"String": "…"}.');
}

/** Runs stages one after another; ending flushes them in order, each into those behind it. */
function chain(stages: readonly Stage[]): Stage {
  const through = (pieces: string[], from: number) =>
    stages.slice(from).reduce((texts, stage) => texts.flatMap((text) => stage.push(text)), pieces);
  return {
    push: (piece) => through([piece], 0),
    end: () => stages.flatMap((stage, i) => through(stage.end(), i + 1)),
  };
}

/** A stage that treats each token alone; `first` tells the first one of a text. */
function eachPiece(map: (piece: string, first: boolean) => string): Stage {
  let first = true;
  return {
    push(piece) {
      const text = map(piece, first);
      first = false;
      return [text];
    },
    end() {
      first = true;
      return [];
    },
  };
}

/** Without a decoder, tokens are joined by spaces. */
function joinWithSpaces(): Stage {
  return eachPiece((piece, first) => (first ? piece : ` ${piece}`));
}

function replace(config: JsonObject): Stage {
  const from = patternString(config);
  const to = String(config.content ?? '');
  return eachPiece((piece) => piece.replaceAll(from, () => to));
}

/** The mark of a space: a space, except in the first token, where it was put in by the encoder. */
function metaspace(config: JsonObject): Stage {
  const mark = String(config.replacement ?? '▁');
  const keepsFirst = config.prepend_scheme === 'never';
  return eachPiece((piece, first) => piece.replaceAll(mark, first && !keepsFirst ? '' : ' '));
}

function byteLevel(): Stage {
  const utf8 = new Utf8Stream();
  return {
    push: (piece) => [utf8.push(alphabetToBytes(piece))],
    end: () => [utf8.end()],
  };
}

/**
 * Runs of byte tokens `<0x..>` become text. A run that is not whole UTF-8 becomes one U+FFFD per byte,
 * all of it, so the run's text is final only where the run ends.
 */
function byteFallback(): Stage {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let run: number[] = [];
  const end = (): string[] => {
    if (run.length === 0) return [];
    const bytes = Uint8Array.from(run);
    run = [];
    try {
      return [strict.decode(bytes)];
    } catch {
      return Array.from(bytes, () => '\uFFFD');
    }
  };
  return {
    push(piece) {
      if (!/^<0x[0-9A-Fa-f]{2}>$/.test(piece)) return [...end(), piece];
      run.push(parseInt(piece.slice(3, 5), 16));
      return [];
    },
    end,
  };
}

/** All tokens as one, for stages that must see the whole text. */
function fuse(): Stage {
  let whole = '';
  return {
    push(piece) {
      whole += piece;
      return [];
    },
    end() {
      const text = whole;
      whole = '';
      return [text];
    },
  };
}

/** Cuts up to `start` and `stop` of one character from the ends, of the whole text if fused, else of each token. */
function strip(config: JsonObject, fused: boolean): Stage {
  const content = String(config.content ?? ' ');
  const start = Number(config.start ?? 0);
  const stop = Number(config.stop ?? 0);
  const cutEnd = (text: string) => {
    let keep = text.length;
    while (keep > 0 && text.length - keep < stop && text[keep - 1] === content) keep--;
    return text.slice(0, keep);
  };
  let toCut = start;
  let held = '';
  const push = (piece: string) => {
    let cut = 0;
    while (cut < toCut && piece[cut] === content) cut++;
    toCut = cut < piece.length ? 0 : toCut - cut;
    const text = held + piece.slice(cut);
    held = stop > 0 ? text.slice(-stop) : '';
    return [text.slice(0, text.length - held.length)];
  };
  const end = () => {
    const text = cutEnd(held);
    held = '';
    toCut = start;
    return [text];
  };
  return fused ? { push, end } : { push: (piece) => [push(piece).join('') + end().join('')], end: () => [] };
}
