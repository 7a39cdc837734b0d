// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Rotary position embedding (Su et al. 2021).
 *
 * @module
 */

import type { RopeLayout } from "../device.ts";

/** Dimensions of a rotation. */
export interface RopeDimensions {
  /** Tokens. */
  readonly T: number;
  /** Heads per token. */
  readonly heads: number;
  /** Features per head. */
  readonly headDim: number;
  /** Features per head that turn, an even number. */
  readonly rotaryDim: number;
  /** Tokens per sequence. */
  readonly length: number;
}

/**
 * Turns each pair of features by the angle of its position:
 * `(u, v) <- (u cos - v sin, v cos + u sin)`, in place. Turning back is the transpose, so
 * `inverse` is also the backward.
 *
 * @param values `[T, heads * headDim]`
 * @param cosines `[positions, rotaryDim / 2]`
 * @param sines like `cosines`
 * @param positions `[T / length]`, tokens before those of each sequence
 */
export function rope(
  values: Float64Array,
  cosines: Float64Array,
  sines: Float64Array,
  { T, heads, headDim, rotaryDim, length }: RopeDimensions,
  layout: RopeLayout,
  inverse: boolean,
  positions: Uint32Array | null = null,
): void {
  const pairs = rotaryDim / 2;
  const last = cosines.length / pairs - 1;
  for (let t = 0; t < T; t++) {
    const before = positions === null ? 0 : positions[Math.floor(t / length)]!;
    const angles = Math.min(before + t % length, last) * pairs;
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < pairs; i++) {
        const head = (t * heads + h) * headDim;
        const first = head + (layout === "half" ? i : 2 * i);
        const second = head + (layout === "half" ? i + pairs : 2 * i + 1);
        const cosine = cosines[angles + i]!;
        const sine = sines[angles + i]! * (inverse ? -1 : 1);
        const u = values[first]!;
        const v = values[second]!;
        values[first] = u * cosine - v * sine;
        values[second] = v * cosine + u * sine;
      }
    }
  }
}
