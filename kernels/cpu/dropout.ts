/**
 * Dropout masks from the counter-based generator of `random.ts`, Threefry-2x32 with 20 rounds (Salmon
 * et al. 2011), four draws at once.
 *
 * @module
 */

import type { Dropout, Tensor } from "../device.ts";
import { type LocalsOf } from "./kernel.ts";
import { type Expression, i32, i32x4, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** Parameters of a kernel that drops elements. */
export const DROPOUT = { key: "tensor", stream: "i32", threshold: "i32" } as const;

/** Values of {@linkcode DROPOUT}: what draws less than `threshold` is dropped. */
export interface DropoutValues {
  readonly key: Tensor | null;
  readonly stream: number;
  readonly threshold: number;
}

/** Parameters of a kernel for a dropout, or for none. */
export function dropoutValues(dropout: Dropout | undefined): DropoutValues {
  if (dropout === undefined) return { key: null, stream: 0, threshold: 0 };
  const { key, stream, rate } = dropout;
  return { key, stream, threshold: Math.floor(rate * 2 ** 32) };
}

/** What is dropped, by the number of an element. */
export interface Mask {
  /** Whether anything is. */
  readonly drops: Local<"i32">;
  /** All ones for elements that are kept, 0 for others; `numbers` holds the elements' numbers. */
  kept(numbers: readonly Expression<"v128">[]): Expression<"v128">[];
}

/** The mask that a kernel's parameters describe. */
export function maskOf(f: FunctionBuilder, p: LocalsOf<typeof DROPOUT>): Mask {
  const key = [f.local("i32"), f.local("i32")] as const;
  // Without dropout there is no key to read.
  f.if(p.threshold, () => key.forEach((word, i) => f.set(word, i32.load(p.key, 4 * i))));
  const parity = i32.xor(i32.xor(key[0], key[1]), PARITY);
  const schedule = [...key, parity].map((word) => f.let(i32x4.splat(word)));
  const threshold = f.let(i32x4.splat(p.threshold));
  const stream = f.let(i32x4.splat(p.stream));
  return {
    drops: p.threshold,
    kept: (numbers) =>
      firstWords(f, schedule, numbers, stream).map((draw) => i32x4.geU(draw, threshold)),
  };
}

/**
 * The first words that Threefry makes of counters `[numbers[i], stream]`. Vectors are treated side by
 * side, so that V8 finds the pairs it can pack.
 */
export function firstWords(
  f: FunctionBuilder,
  schedule: readonly Local<"v128">[],
  numbers: readonly Expression<"v128">[],
  stream: Local<"v128">,
): Local<"v128">[] {
  const word = (index: number) => schedule[index % 3] as Local<"v128">;
  const states = numbers.map((number) => ({
    x: f.let(i32x4.add(number, word(0))),
    y: f.let(i32x4.add(stream, word(1))),
  }));
  for (let round = 0; round < 20; round++) {
    const rotation = ROTATIONS[round % 8] as number;
    for (const { x, y } of states) {
      f.set(x, i32x4.add(x, y));
      const rotated = v128.or(i32x4.shl(y, rotation), i32x4.shrU(y, 32 - rotation));
      f.set(y, v128.xor(rotated, x));
    }
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    for (const { x, y } of states) {
      f.set(x, i32x4.add(x, word(injection)));
      const count = i32x4.splat(injection);
      f.set(y, i32x4.add(i32x4.add(y, word(injection + 1)), count));
    }
  }
  return states.map(({ x }) => x);
}
