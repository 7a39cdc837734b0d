// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The generator MT19937 with 32-bit outputs.
 *
 * @module
 */

const N = 624;
const M = 397;

/**
 * MT19937, seeded by a list of words.
 *
 * Makoto Matsumoto and Takuji Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed
 * uniform pseudorandom number generator", ACM TOMACS 8 (1998); seeding `init_by_array` of 2002.
 *
 * @example The first output of the authors' own test, mt19937ar.out
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(new MersenneTwister([0x123, 0x234, 0x345, 0x456]).next(), 1067595299);
 * ```
 */
export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** @param key At least one word of 32 bits. */
  constructor(key: readonly number[]) {
    if (key.length === 0) throw new RangeError("The key of MT19937 needs at least one word");
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, mix(state[i - 1]!)) + i;
    let i = 1;
    const step = () => {
      if (++i < N) return;
      state[0] = state[N - 1]!;
      i = 1;
    };
    for (let count = Math.max(N, key.length), j = 0; count > 0; count--) {
      state[i] = (state[i]! ^ Math.imul(mix(state[i - 1]!), 1664525)) + key[j]! + j;
      step();
      j = (j + 1) % key.length;
    }
    for (let count = N - 1; count > 0; count--) {
      state[i] = (state[i]! ^ Math.imul(mix(state[i - 1]!), 1566083941)) - i;
      step();
    }
    state[0] = 0x80000000;
  }

  /** The next 32 bits, as an unsigned integer. */
  next(): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let k = 0; k < N; k++) {
      const y = (state[k]! & 0x80000000) | (state[(k + 1) % N]! & 0x7fffffff);
      state[k] = state[(k + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

function mix(word: number): number {
  return word ^ (word >>> 30);
}
