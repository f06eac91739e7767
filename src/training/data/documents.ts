// Documents of text files, a block at a time: the texts between END_OF_TEXT marks, or the `text` of each
// line of a .jsonl file.

import { platform } from '../../platform/index.js';
import { END_OF_TEXT } from '../../tokenizer/index.js';

/** Bytes read at a time; a document may be longer and is then handed on in parts. */
const BLOCK_BYTES = 4 * 2 ** 20;

/** A piece of text; `ends`: it is its document's last. */
export interface DocumentPart { readonly text: string; readonly ends: boolean }

export async function* documents(path: string, onRead: (bytes: number) => void = () => {}): AsyncGenerator<DocumentPart> {
  const separator = path.toLowerCase().endsWith('.jsonl') ? '\n' : END_OF_TEXT;
  let rest = '';
  for await (const text of blocks(path, onRead)) {
    const pieces = (rest + text).split(separator);
    rest = pieces.pop()!;
    for (const piece of pieces) yield* part(path, piece, separator);
    // A plain text without marks: cut after a line, so that no word is.
    const cut = separator === END_OF_TEXT && rest.length > BLOCK_BYTES ? rest.lastIndexOf('\n') + 1 : 0;
    if (cut > 0) { yield { text: rest.slice(0, cut), ends: false }; rest = rest.slice(cut); }
  }
  yield* part(path, rest, separator);
}

function* part(path: string, piece: string, separator: string): Generator<DocumentPart> {
  if (piece.trim() === '') return;
  yield { text: separator === '\n' ? textOfLine(path, piece) : piece.replace(/^\n/, ''), ends: true };
}

function textOfLine(path: string, line: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error(`${path}: a line is not JSON: ${line.slice(0, 60)}`);
  }
  const text = (value as { text?: unknown } | null)?.text;
  if (typeof text !== 'string') throw new Error(`${path}: a line has no "text": ${line.slice(0, 60)}`);
  return text;
}

async function* blocks(path: string, onRead: (bytes: number) => void): AsyncGenerator<string> {
  const { files } = await platform();
  if (!files) throw new Error('training data is read from files, which this platform does not have');
  const source = await files.openFile(path);
  const decoder = new TextDecoder();
  try {
    for (let at = 0; at < source.size; at += BLOCK_BYTES) {
      const length = Math.min(BLOCK_BYTES, source.size - at);
      yield decoder.decode(await source.read(at, length), { stream: true });
      onRead(length);
    }
    yield decoder.decode();
  } finally {
    await source.close();
  }
}
