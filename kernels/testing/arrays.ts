/**
 * Seeded arrays for tests, every float exactly representable in f32, so that a device in f32 and the
 * reference in float64 see equal data.
 *
 * @module
 */

import { RandomStream } from "../random.ts";

/** `count` floats, uniform in [low, high); `name` selects the draws. */
export function randomFloats(name: string, count: number, low = -1, high = 1): Float32Array {
  const stream = new RandomStream(1, name);
  return Float32Array.from(
    { length: count },
    (_, index) => low + (high - low) * stream.uniform(index),
  );
}

/** `count` integers, uniform in [0, limit). */
export function randomIntegers(name: string, count: number, limit: number): Uint32Array {
  const stream = new RandomStream(1, name);
  return Uint32Array.from(
    { length: count },
    (_, index) => Math.floor(stream.uniform(index) * limit),
  );
}
