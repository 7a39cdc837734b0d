/**
 * The printable stand-ins for bytes that byte-level vocabularies are written in (GPT-2, Radford et al.
 * 2019): a byte's own Latin-1 character where that can be seen, or one past U+00FF.
 *
 * @module
 */

/** Character of every byte. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

/** Byte of every character. */
export const CHARACTER_BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The UTF-8 bytes of a text as characters. */
export function spellBytes(text: string): string {
  // Words of printable ASCII, the most frequent ones, spell themselves.
  if (/^[!-~]*$/.test(text)) return text;
  return spell(encoder.encode(text));
}

/** Bytes as characters. */
export function spell(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BYTE_CHARACTERS[byte];
  return text;
}

/**
 * Text of bytes; where they are not UTF-8, every byte is one replacement character, as in
 * SentencePiece.
 */
export function textOfBytes(bytes: readonly number[]): string {
  try {
    return strictDecoder.decode(Uint8Array.from(bytes));
  } catch {
    return "\ufffd".repeat(bytes.length);
  }
}

function byteCharacters(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let next = 0x100;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++),
  );
}
