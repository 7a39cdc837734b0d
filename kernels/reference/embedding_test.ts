import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { checkGradient, dot } from "../testing/gradient.ts";
import { inverseIndex } from "../testing/vocabulary_cases.ts";
import { embedding, embeddingBackward } from "./embedding.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

Deno.test("embedding copies the rows of its tokens", () => {
  const output = new Float64Array(6);
  const table = Float64Array.of(1, 2, 3, 4, 5, 6);
  embedding(Uint32Array.of(2, 0, 2), table, output, { T: 3, D: 2, V: 3 });
  assert.deepEqual([...output], [5, 6, 1, 2, 5, 6]);
  assert.throws(
    () => embedding(Uint32Array.of(3), table, output, { T: 1, D: 2, V: 3 }),
    { name: "RangeError", message: "embedding: token 0 is 3, but the table has 3 rows" },
  );
});

Deno.test("the inverse index lists positions by token, in order", () => {
  const { order, offsets } = inverseIndex(Uint32Array.of(2, 0, 2, 3, 0), 5);
  assert.deepEqual([...order], [1, 4, 0, 2, 3]);
  assert.deepEqual([...offsets], [0, 2, 2, 4, 5, 5]);
});

Deno.test("embeddingBackward is the gradient of embedding, added to what is there", () => {
  const [T, D, V] = [5, 2, 5];
  const tokens = Uint32Array.of(2, 0, 2, 3, 0);
  const table = floats("table", V * D);
  const gradOutput = floats("gradOutput", T * D);
  const { order, offsets } = inverseIndex(tokens, V);
  const gradTable = new Float64Array(V * D);
  embeddingBackward(gradOutput, order, offsets, gradTable, { T, D, V });
  checkGradient("gradTable", table, gradTable, () => {
    const output = new Float64Array(T * D);
    embedding(tokens, table, output, { T, D, V });
    return dot(output, gradOutput);
  });
  const once = gradTable.slice();
  embeddingBackward(gradOutput, order, offsets, gradTable, { T, D, V });
  assert.deepEqual(gradTable, once.map((value) => 2 * value));
});
