/**
 * The byte alphabet of byte-level BPE (GPT-2): each of the 256 bytes is written as one printable
 * character, so that tokens which are not whole UTF-8 can be keys of a JSON object.
 */

const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const characterOfByte: string[] = [];
const byteOfCharacter = new Map<string, number>();
for (let byte = 0, shifted = 0x100; byte < 0x100; byte++) {
  const character = String.fromCharCode(printable(byte) ? byte : shifted++);
  characterOfByte.push(character);
  byteOfCharacter.set(character, byte);
}

const utf8 = new TextEncoder();

/** Writes bytes in the byte alphabet. */
export function bytesToAlphabet(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += characterOfByte[byte];
  return text;
}

/** Writes a text's UTF-8 bytes in the byte alphabet. */
export function textToAlphabet(text: string): string {
  return bytesToAlphabet(utf8.encode(text));
}

/**
 * The bytes that a token stands for. A token with a character outside the alphabet was never made of
 * bytes (an added token such as `<｜User｜>`): it stands for its own UTF-8, as in the reference.
 */
export function alphabetToBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter.get(token[i]);
    if (byte === undefined) return utf8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
