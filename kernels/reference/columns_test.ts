import assert from "node:assert/strict";
import { gatherColumns, scatterColumns } from "./columns.ts";

const DIMENSIONS = { M: 2, K: 3, C: 2 };

Deno.test("columns are selected in the order that is asked for", () => {
  const output = new Float64Array(4);
  gatherColumns(Float64Array.of(1, 2, 3, 4, 5, 6), Uint32Array.of(2, 0), output, DIMENSIONS);
  assert.deepEqual([...output], [3, 1, 6, 4]);
});

Deno.test("columns are added where they came from", () => {
  const output = new Float64Array(6).fill(10);
  scatterColumns(Float64Array.of(1, 2, 3, 4), Uint32Array.of(2, 0), output, DIMENSIONS);
  assert.deepEqual([...output], [12, 10, 11, 14, 10, 13]);
});

Deno.test("indices beyond the matrix and equal ones are refused", () => {
  const [whole, part] = [new Float64Array(6), new Float64Array(4)];
  assert.throws(() => gatherColumns(whole, Uint32Array.of(0, 3), part, DIMENSIONS), {
    name: "RangeError",
    message: "gatherColumns: index 1 of order is 3, but there are 3 columns",
  });
  assert.throws(() => scatterColumns(part, Uint32Array.of(3, 0), whole, DIMENSIONS), RangeError);
  assert.throws(
    () => scatterColumns(part, Uint32Array.of(1, 1), whole, DIMENSIONS),
    /two indices of order are equal/,
  );
});
