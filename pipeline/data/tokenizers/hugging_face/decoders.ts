/**
 * Decoders of `tokenizer.json`, as the crate `tokenizers` defines them (`src/decoders/`). Those of the
 * library serve where they are right. `ByteLevel` searches all added tokens for every token there,
 * `ByteFallback` loses a byte order mark, and `Metaspace` takes a space away that was never added.
 *
 * @module
 */

import {
  BPEDecoder,
  CTCDecoder,
  FuseDecoder,
  ReplaceDecoder,
  StripDecoder,
  WordPieceDecoder,
} from "@huggingface/tokenizers";
import { CHARACTER_BYTES, textOfBytes } from "../byte_characters.ts";
import { type Component, partsOf, unknownType } from "./patterns.ts";

/** Makes texts of tokens, or of fewer and longer texts; joined, they are the text. */
export type Decode = (tokens: string[]) => string[];

const LIBRARY = {
  BPEDecoder,
  CTC: CTCDecoder,
  Fuse: FuseDecoder,
  Replace: ReplaceDecoder,
  Strip: StripDecoder,
  WordPiece: WordPieceDecoder,
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Builds a decoder; without one, tokens are words.
 *
 * @throws {Error} If its type is unknown, or it lacks something.
 */
export function createDecoder(component: Component | null | undefined): Decode {
  if (component === null || component === undefined) return (tokens) => [tokens.join(" ")];
  switch (component.type) {
    case "Sequence": {
      const parts = partsOf(component, "decoders").map(createDecoder);
      return (tokens) => parts.reduce((texts, decode) => decode(texts), tokens);
    }
    case "ByteLevel":
      return (tokens) => [decoder.decode(Uint8Array.from(tokens.flatMap(bytesOf)))];
    case "ByteFallback":
      return decodeBytes;
    case "Metaspace": {
      const space = String(component.replacement ?? "\u2581");
      const prepends = component.prepend_scheme !== "never" && component.add_prefix_space !== false;
      return (tokens) =>
        tokens.map((token, index) => token.replaceAll(space, index === 0 && prepends ? "" : " "));
    }
    default: {
      if (!Object.hasOwn(LIBRARY, component.type)) throw unknownType("decoder", component);
      const Decoder = LIBRARY[component.type as keyof typeof LIBRARY] as new (
        component: Component,
      ) => { decode_chain(tokens: string[]): string[] };
      const built = new Decoder(component);
      return (tokens) => built.decode_chain(tokens);
    }
  }
}

/** The bytes of a byte-level token; what is not written in byte characters stands for itself. */
function bytesOf(token: string): number[] {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = CHARACTER_BYTES.get(character);
    if (byte === undefined) return [...encoder.encode(token)];
    bytes.push(byte);
  }
  return bytes;
}

/** Joins tokens like `<0xE2>` to texts. */
function decodeBytes(tokens: readonly string[]): string[] {
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) texts.push(textOfBytes(bytes));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte === undefined) {
      flush();
      texts.push(token);
    } else {
      bytes.push(parseInt(byte, 16));
    }
  }
  flush();
  return texts;
}
