/**
 * The character maps of SentencePiece's normalizers (`precompiled_charsmap`): rules like those of
 * NFKC, as a double-array trie over UTF-8 bytes (Darts-clone) and the texts that it points to.
 *
 * @module
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What a rule makes of the text at a position. */
export interface Replacement {
  readonly text: string;
  /** Exclusive, in UTF-16 code units. */
  readonly end: number;
}

/** A compiled character map. */
export class CharactersMap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #decoded = new Map<number, string>();

  /**
   * Reads a map: the size of the trie in bytes (little-endian, 32 bits), the trie, and texts that end
   * with NUL.
   *
   * @throws {RangeError} If the sizes do not fit.
   */
  constructor(bytes: Uint8Array) {
    const size = bytes.length < 4
      ? NaN
      : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (!(size % 4 === 0 && size > 0 && 4 + size <= bytes.length)) {
      throw new RangeError(
        `its character map of ${bytes.length} bytes does not hold a trie of ${size} bytes`,
      );
    }
    // A copy, because the trie need not be aligned.
    this.#units = new Uint32Array(bytes.slice(4, 4 + size).buffer);
    this.#texts = bytes.subarray(4 + size);
  }

  /** The rule for the longest text at `start`, or null. */
  longest(text: string, start: number): Replacement | null {
    return this.#find(text, start, true);
  }

  /** The rule for the shortest text at `start`, or null. */
  shortest(text: string, start: number): Replacement | null {
    return this.#find(text, start, false);
  }

  #find(text: string, start: number, longest: boolean): Replacement | null {
    let found: Replacement | null = null;
    let node = offsetOf(this.#units[0] ?? 0);
    for (let position = start; position < text.length;) {
      const point = text.codePointAt(position) ?? 0;
      position += point > 0xffff ? 2 : 1;
      let unit = 0;
      for (const byte of utf8(point)) {
        node ^= byte;
        unit = this.#units[node] ?? 0;
        if (labelOf(unit) !== byte) return found;
        node ^= offsetOf(unit);
      }
      if ((unit >>> 8 & 1) === 1) {
        const value = (this.#units[node] ?? 0) & 0x7fffffff;
        found = { text: this.#textAt(value), end: position };
        if (!longest) return found;
      }
    }
    return found;
  }

  #textAt(offset: number): string {
    let text = this.#decoded.get(offset);
    if (text === undefined) {
      const end = this.#texts.indexOf(0, offset);
      text = decoder.decode(this.#texts.subarray(offset, end < 0 ? undefined : end));
      this.#decoded.set(offset, text);
    }
    return text;
  }
}

/** The byte that leads to a unit, or a number above 255 for a unit that holds a value. */
function labelOf(unit: number): number {
  return (unit & 0x800000ff) >>> 0;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function utf8(point: number): Iterable<number> {
  return point < 0x80 ? [point] : encoder.encode(String.fromCodePoint(point));
}
