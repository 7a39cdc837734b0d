/**
 * Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"). A draw depends only on its key and counter, so resuming, splitting
 * or reordering work never changes it; it needs only 32-bit additions, rotations and exclusive or, so
 * that host and devices agree bit by bit.
 *
 * @module
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** Two random words for a 64-bit key and a 64-bit counter. */
export function threefry(
  key: readonly [number, number],
  counter: readonly [number, number],
): [number, number] {
  const schedule = [key[0] >>> 0, key[1] >>> 0, (PARITY ^ key[0] ^ key[1]) >>> 0] as const;
  let x = (counter[0] + schedule[0]) >>> 0;
  let y = (counter[1] + schedule[1]) >>> 0;
  for (let round = 0; round < 20; round++) {
    const rotation = ROTATIONS[round % 8] as number;
    x = (x + y) >>> 0;
    y = ((y << rotation) | (y >>> (32 - rotation))) >>> 0;
    y = (y ^ x) >>> 0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x = (x + (schedule[injection % 3] as number)) >>> 0;
      y = (y + (schedule[(injection + 1) % 3] as number) + injection) >>> 0;
    }
  }
  return [x, y];
}

/**
 * The key of one purpose ("shuffle", "dropout", the name of a tensor) under a seed: purposes never
 * share draws, whatever order they are used in.
 */
export function keyOf(seed: number, purpose: string, index = 0): [number, number] {
  let hash = 0x811c9dc5; // FNV-1a over UTF-16 code units
  for (let i = 0; i < purpose.length; i++) {
    hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193) >>> 0;
  }
  return threefry([seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0], [hash, index >>> 0]);
}

/** A stream of draws under one key; draw `i` can be had at any time, in any order. */
export class RandomStream {
  readonly #key: readonly [number, number];

  constructor(seed: number, purpose: string, index = 0) {
    this.#key = keyOf(seed, purpose, index);
  }

  /** Uniform in [0, 1) with 53 random bits. */
  uniform(index: number): number {
    const [high, low] = threefry(this.#key, [index >>> 0, Math.floor(index / 2 ** 32)]);
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
  }

  /** Standard normal (Box-Muller; draw `i` uses uniforms `2i` and `2i + 1`). */
  normal(index: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(2 * index)));
    return radius * Math.cos(2 * Math.PI * this.uniform(2 * index + 1));
  }

  /** A permutation of 0..count-1 (Fisher-Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, index) => index);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(this.uniform(i) * (i + 1));
      const swapped = order[i] as number;
      order[i] = order[j] as number;
      order[j] = swapped;
    }
    return order;
  }
}
