/**
 * Threefry-2x32 (Salmon et al. 2011) in WGSL, the same bits as `random.ts`.
 *
 * @module
 */

import { unroll } from "./unroll.ts";

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** `fn threefry(key: vec2<u32>, counter: vec2<u32>) -> u32`: the first of the two random words. */
export const THREEFRY = `fn threefry(key: vec2<u32>, counter: vec2<u32>) -> u32 {
  let schedule0 = key.x;
  let schedule1 = key.y;
  let schedule2 = 0x1bd11bdau ^ schedule0 ^ schedule1;
  var x = counter.x + schedule0;
  var y = counter.y + schedule1;
${
  unroll(20, (round) => {
    const rotation = ROTATIONS[round % 8] as number;
    const mix = `  x += y; y = ((y << ${rotation}u) | (y >> ${32 - rotation}u)) ^ x;`;
    if (round % 4 !== 3) return mix;
    const injection = (round + 1) / 4;
    return `${mix}
  x += schedule${injection % 3}; y += schedule${(injection + 1) % 3} + ${injection}u;`;
  })
}
  return x;
}`;
