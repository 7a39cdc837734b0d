import assert from "node:assert/strict";
import type { ScheduleOptions } from "./options.ts";
import { learningRateFactor } from "./schedule.ts";

function factors(changes: Partial<ScheduleOptions>, steps: number): number[] {
  const schedule = {
    name: "constant",
    warmup_steps: 0,
    warmup_ratio: 0,
    minimum_ratio: 0,
    ...changes,
  } as const;
  return Array.from({ length: steps }, (_, step) => learningRateFactor(schedule, step, steps));
}

function assertClose(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    assert(Math.abs(value - (expected[index] as number)) < 1e-12, `${actual} against ${expected}`);
  });
}

Deno.test("constant, with and without warm-up", () => {
  assertClose(factors({}, 3), [1, 1, 1]);
  assertClose(factors({ warmup_steps: 4 }, 6), [0, 0.25, 0.5, 0.75, 1, 1]);
});

Deno.test("linear falls to the minimum one step after the last", () => {
  assertClose(factors({ name: "linear" }, 4), [1, 0.75, 0.5, 0.25]);
  assertClose(factors({ name: "linear", minimum_ratio: 0.2 }, 4), [1, 0.8, 0.6, 0.4]);
});

Deno.test("cosine at thirds: (1 + cos 60 degrees) / 2 and (1 + cos 120 degrees) / 2", () => {
  assertClose(factors({ name: "cosine" }, 3), [1, 0.75, 0.25]);
  assertClose(factors({ name: "cosine", minimum_ratio: 0.5 }, 3), [1, 0.875, 0.625]);
});

Deno.test("warm-up ratio rounds up; all steps may be warm-up", () => {
  assertClose(factors({ warmup_ratio: 0.3 }, 5), [0, 0.5, 1, 1, 1]);
  assertClose(factors({ name: "linear", warmup_ratio: 1 }, 2), [0, 0.5]);
});
