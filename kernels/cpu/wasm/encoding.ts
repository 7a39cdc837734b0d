/**
 * The binary format of WebAssembly, as far as our kernels need it: integers in LEB128, names,
 * vectors and sections (WebAssembly core specification 3.0, chapter 5).
 *
 * @module
 */

/** Bytes in the order in which they stand in a module. */
export type Bytes = readonly number[];

/** An unsigned integer in LEB128 (section 5.2.2). */
export function unsigned(value: number | bigint): Bytes {
  let rest = BigInt(value);
  if (rest < 0n) throw new RangeError(`${value} is negative; an unsigned integer is wanted.`);
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return bytes;
}

/** A signed integer in LEB128 (section 5.2.2). */
export function signed(value: number | bigint): Bytes {
  let rest = BigInt(value);
  const bytes: number[] = [];
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    const signBitIsSet = (low & 0x40) !== 0;
    if ((rest === 0n && !signBitIsSet) || (rest === -1n && signBitIsSet)) {
      bytes.push(low);
      return bytes;
    }
    bytes.push(low | 0x80);
  }
}

/** A 32-bit float, little-endian. */
export function float32(value: number): Bytes {
  return [...new Uint8Array(new Float32Array([value]).buffer)];
}

/** A 64-bit float, little-endian. */
export function float64(value: number): Bytes {
  return [...new Uint8Array(new Float64Array([value]).buffer)];
}

/** A name in UTF-8 with its length (section 5.2.4). */
export function name(text: string): Bytes {
  const bytes = new TextEncoder().encode(text);
  return [...unsigned(bytes.length), ...bytes];
}

/** Items with their number in front (section 5.1.3). */
export function vector(items: readonly Bytes[]): Bytes {
  return [...unsigned(items.length), ...items.flat()];
}

/** A section of a module: its identifier, its size, its content (section 5.5.2). */
export function section(identifier: number, content: Bytes): Bytes {
  return [identifier, ...unsigned(content.length), ...content];
}
