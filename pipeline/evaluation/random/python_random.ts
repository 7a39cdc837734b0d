// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * `random.Random` of CPython: the same seeds give the same draws.
 *
 * @module
 */

import { MersenneTwister } from "./mersenne_twister.ts";

const TWO_26 = 2 ** 26;
const TWO_53 = 2 ** 53;

/**
 * The draws of CPython's `random.Random` (3.9 and later), whose seed is an integer.
 *
 * @example The examples before the first question of `gsm8k` in lm-evaluation-harness
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const random = new PythonRandom(1234);
 * assert.deepEqual(random.sampleIndices(7473, 5), [6374, 3610, 957, 61, 742]);
 * ```
 */
export class PythonRandom {
  readonly #twister: MersenneTwister;

  /** @param seed An integer; its sign does not count. */
  constructor(seed: number | bigint) {
    if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
      throw new RangeError(`The seed of Python's generator is an integer: found ${seed}`);
    }
    let rest = BigInt(seed);
    if (rest < 0n) rest = -rest;
    const key: number[] = [];
    for (; rest > 0n; rest >>= 32n) key.push(Number(rest & 0xffffffffn));
    this.#twister = new MersenneTwister(key.length === 0 ? [0] : key);
  }

  /** `random()`: a float in [0, 1) of 53 random bits. */
  random(): number {
    const high = this.#twister.next() >>> 5;
    const low = this.#twister.next() >>> 6;
    return (high * TWO_26 + low) / TWO_53;
  }

  /** `getrandbits(bits)`, of at most 53 bits. */
  bits(bits: number): number {
    if (!(bits >= 0 && bits <= 53)) throw new RangeError(`Wanted 0 to 53 bits: found ${bits}`);
    let value = 0;
    for (let done = 0; done < bits; done += 32) {
      const word = this.#twister.next();
      value += (bits - done < 32 ? word >>> (32 - (bits - done)) : word) * 2 ** done;
    }
    return value;
  }

  /** `_randbelow(limit)`: an integer in [0, limit). */
  below(limit: number): number {
    if (!(Number.isSafeInteger(limit) && limit > 0)) {
      throw new RangeError(`Wanted a whole number above 0: found ${limit}`);
    }
    const bits = bitLength(limit);
    let value = this.bits(bits);
    while (value >= limit) value = this.bits(bits);
    return value;
  }

  /** `randint(low, high)`, both inclusive. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** `choice(items)`. */
  choice<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }

  /** `choices(items, k=count)`: draws with replacement. */
  choices<Item>(items: readonly Item[], count: number): Item[] {
    return Array.from({ length: count }, () => items[Math.floor(this.random() * items.length)]!);
  }

  /** `shuffle(items)`, in place. */
  shuffle<Item>(items: Item[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
  }

  /** `sample(items, count)`: draws without replacement, in the order of drawing. */
  sample<Item>(items: readonly Item[], count: number): Item[] {
    return this.sampleIndices(items.length, count).map((index) => items[index]!);
  }

  /** `sample(range(size), count)`. */
  sampleIndices(size: number, count: number): number[] {
    if (!(Number.isInteger(count) && count >= 0 && count <= size)) {
      throw new RangeError(`Cannot draw ${count} of ${size} without replacement`);
    }
    // CPython copies the population where a set of `count` entries would be larger than the copy.
    const setSize = count > 5 ? 21 + 4 ** Math.ceil(logarithm4(count * 3)) : 21;
    return size <= setSize ? this.#sampleOfPool(size, count) : this.#sampleOfSet(size, count);
  }

  #sampleOfPool(size: number, count: number): number[] {
    const pool = Array.from({ length: size }, (_, index) => index);
    return Array.from({ length: count }, (_, index) => {
      const drawn = this.below(size - index);
      const value = pool[drawn]!;
      pool[drawn] = pool[size - index - 1]!;
      return value;
    });
  }

  #sampleOfSet(size: number, count: number): number[] {
    const drawn = new Set<number>();
    while (drawn.size < count) drawn.add(this.below(size));
    return [...drawn];
  }
}

function bitLength(value: number): number {
  return value < 2 ** 32 ? 32 - Math.clz32(value) : 64 - Math.clz32(Math.floor(value / 2 ** 32));
}

/** Python's `math.log(value, 4)`, a quotient of natural logarithms. */
function logarithm4(value: number): number {
  return Math.log(value) / Math.log(4);
}
