// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { attention, attentionBackward, type AttentionSizes } from "./attention.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

function run(sizes: AttentionSizes, q: Float64Array, k: Float64Array, v: Float64Array) {
  const output = new Float64Array(q.length).fill(NaN);
  const logSumExp = new Float64Array(q.length / sizes.headDim).fill(NaN);
  attention(q, k, v, output, logSumExp, sizes);
  return { output, logSumExp };
}

/** Output, log-sum-exp and the gradients of queries, keys and values. */
function runBackward(
  sizes: AttentionSizes,
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  gradOutput: Float64Array,
): Float64Array[] {
  const { output, logSumExp } = run(sizes, q, k, v);
  const [gradQueries, gradKeys, gradValues] = [q, k, v]
    .map((x) => new Float64Array(x.length).fill(NaN)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  attentionBackward(
    q,
    k,
    v,
    output,
    logSumExp,
    gradOutput,
    gradQueries,
    gradKeys,
    gradValues,
    sizes,
  );
  return [output, logSumExp, gradQueries, gradKeys, gradValues];
}

const SMALL = { batch: 2, length: 5, heads: 4, kvHeads: 2, headDim: 4, scale: 0.5, window: 5 };

function data({ batch, length, heads, kvHeads, headDim }: AttentionSizes) {
  const T = batch * length;
  return [
    floats("q", T * heads * headDim),
    floats("k", T * kvHeads * headDim),
    floats("v", T * kvHeads * headDim),
  ] as const;
}

Deno.test("a single token attends to itself: its output is its value", () => {
  const sizes = { ...SMALL, batch: 3, length: 1 };
  const [q, k, v] = data(sizes);
  const { output, logSumExp } = run(sizes, q, k, v);
  for (let t = 0; t < 3; t++) {
    for (let h = 0; h < 4; h++) {
      const value = v.slice((t * 2 + Math.floor(h / 2)) * 4, (t * 2 + Math.floor(h / 2)) * 4 + 4);
      const key = k.slice((t * 2 + Math.floor(h / 2)) * 4, (t * 2 + Math.floor(h / 2)) * 4 + 4);
      const start = (t * 4 + h) * 4;
      assertClose(output.slice(start, start + 4), value);
      assertClose([logSumExp[t * 4 + h]!], [0.5 * dot(q.slice(start, start + 4), key)]);
    }
  }
});

Deno.test("queries of zero average the values they see; the log-sum-exp counts them", () => {
  for (const window of [5, 2]) {
    const sizes = { ...SMALL, window };
    const [q, k, v] = data(sizes);
    const { output, logSumExp } = run(sizes, q.fill(0), k, v);
    for (let t = 0; t < 10; t++) {
      const seen = Math.min(t % 5 + 1, window);
      for (let h = 0; h < 4; h++) {
        assert.ok(Math.abs(logSumExp[t * 4 + h]! - Math.log(seen)) < 1e-12);
        for (let d = 0; d < 4; d++) {
          let mean = 0;
          for (let j = t - seen + 1; j <= t; j++) {
            mean += v[(j * 2 + Math.floor(h / 2)) * 4 + d]! / seen;
          }
          assert.ok(Math.abs(output[(t * 4 + h) * 4 + d]! - mean) < 1e-12);
        }
      }
    }
  }
});

Deno.test("a token sees nothing of the future, of other sequences, or beyond its window", () => {
  const sizes = { ...SMALL, window: 2 };
  const [q, k, v] = data(sizes);
  const before = run(sizes, q, k, v).output;
  k.fill(100, 6 * 8, 7 * 8); // token 1 of sequence 1
  v.fill(100, 6 * 8, 7 * 8);
  const after = run(sizes, q, k, v).output;
  const changed = Array.from({ length: 10 }, (_, t) => t)
    .filter((t) => before.slice(16 * t, 16 * t + 16).some((x, i) => x !== after[16 * t + i]));
  assert.deepEqual(changed, [6, 7]);
});

for (const window of [6, 2]) {
  Deno.test(`packed examples are as examples alone, backward, too: window ${window}`, () => {
    const sizes = { ...SMALL, batch: 1, length: 6, window, starts: [0, 1, 1, 1, 4, 4] };
    const [q, k, v] = data(sizes);
    const gradOutput = floats("gradOutput", q.length);
    const together = runBackward(sizes, q, k, v, gradOutput);
    for (const [start, end] of [[0, 1], [1, 4], [4, 6]] as const) {
      const part = (x: Float64Array) => x.slice(start * x.length / 6, end * x.length / 6);
      const { starts: _, ...plain } = { ...sizes, length: end - start };
      const alone = runBackward(plain, part(q), part(k), part(v), part(gradOutput));
      assert.deepEqual(together.map(part), alone);
    }
  });
}

Deno.test("large scores do not overflow", () => {
  const sizes = { ...SMALL, scale: 1e4 };
  const { output, logSumExp } = run(sizes, ...data(sizes));
  assert.ok([...output, ...logSumExp].every(Number.isFinite));
});

for (const window of [5, 2]) {
  Deno.test(`attentionBackward is the gradient of attention: window ${window}`, () => {
    const sizes = { ...SMALL, window };
    const [q, k, v] = data(sizes);
    const gradOutput = floats("gradOutput", q.length);
    const [, , gradQueries, gradKeys, gradValues] = runBackward(sizes, q, k, v, gradOutput) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const loss = () => dot(run(sizes, q, k, v).output, gradOutput);
    checkGradient("gradQueries", q, gradQueries, loss);
    checkGradient("gradKeys", k, gradKeys, loss);
    checkGradient("gradValues", v, gradValues, loss);
  });
}
