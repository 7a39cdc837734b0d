import assert from "node:assert/strict";
import type { TableSpecification } from "../graph/experiment.ts";
import type { Results } from "../graph/results.ts";
import { makeTable, shortNames, type TableCellSource, tableOfResults } from "./table.ts";

/** A cell with the axes bits, rank and seed, a perplexity, and an accuracy where `accuracy` is given. */
function cell(
  index: number,
  [bits, rank, seed]: readonly [number, number, number],
  perplexity: number | null,
  accuracy?: number,
): TableCellSource {
  return {
    index,
    values: { "base.quantizer.bits": bits, "adapter.rank": rank, seed },
    seed,
    status: perplexity === null ? "failed" : "done",
    error: perplexity === null ? "tuned: loss is NaN" : null,
    metrics: {
      ...(perplexity === null ? {} : { "quality.tuned.perplexity": { value: perplexity } }),
      ...(accuracy === undefined ? {} : { "quality.tuned.accuracy": { value: accuracy } }),
    },
    nodes: { adapter: { stage: "initialize", parameters: { form: "qa-lora", rank } } },
  };
}

const AXES = ["base.quantizer.bits", "adapter.rank", "seed"];

const SPECIFICATION: TableSpecification = {
  rows: ["adapter.form", "adapter.rank"],
  columns: ["base.quantizer.bits"],
  values: ["quality.tuned.perplexity"],
  over: ["seed"],
};

const CELLS = [
  cell(0, [4, 8, 1], 10),
  cell(1, [4, 8, 2], 14),
  cell(2, [2, 8, 1], 20),
  cell(3, [2, 8, 2], 20),
  cell(4, [4, 16, 1], 9),
  cell(5, [4, 16, 2], 9.5),
  cell(6, [2, 16, 1], 15),
  cell(7, [2, 16, 2], 17),
];

Deno.test("makeTable() averages over an axis with the sample standard deviation", () => {
  const table = makeTable(SPECIFICATION, CELLS, AXES);
  assert.deepEqual(table.rowTitles, ["form", "rank"]);
  assert.deepEqual(table.columns.map(({ title }) => title), ["bits 4", "bits 2"]);
  assert.deepEqual(table.rows.map(({ labels }) => labels), [["qa-lora", "8"], ["qa-lora", "16"]]);
  // 10 and 14: mean 12, squared deviations 4 + 4, divided by 2 - 1.
  assert.deepEqual(table.rows[0]?.entries, [
    { mean: 12, deviation: Math.sqrt(8), count: 2 },
    { mean: 20, deviation: 0, count: 2 },
  ]);
  assert.deepEqual(table.notes, [
    "quality.tuned.perplexity.",
    "Mean ± standard deviation over seed.",
  ]);
});

Deno.test("makeTable() keeps standard errors where nothing is averaged", () => {
  const measured = CELLS.slice(0, 2).map((source, index) => ({
    ...source,
    metrics: { "quality.tuned.perplexity": { value: 10 + index, standardError: 0.5 } },
  }));
  const single = { ...SPECIFICATION, rows: ["seed"], over: [] };
  const table = makeTable(single, measured, AXES);
  assert.deepEqual(table.rows.map(({ entries }) => entries[0]), [
    { mean: 10, deviation: null, count: 1, standardError: 0.5 },
    { mean: 11, deviation: null, count: 1, standardError: 0.5 },
  ]);
  assert.deepEqual(table.notes, ["quality.tuned.perplexity.", "Number ± its standard error."]);
  // The spread over seeds is another quantity, and the only one that an average has.
  const averaged = makeTable(SPECIFICATION, measured, AXES);
  assert.deepEqual(averaged.rows[0]?.entries, [
    { mean: 10.5, deviation: Math.sqrt(0.5), count: 2 },
  ]);
  assert.equal(averaged.notes.includes("Number ± its standard error."), false);
});

Deno.test("makeTable() gives equal values no deviation, however they round when they are added", () => {
  const value = 103.09;
  const cells = [1, 2, 3].map((seed) => cell(seed, [4, 8, seed], value));
  assert.deepEqual(makeTable(SPECIFICATION, cells, AXES).rows[0]?.entries[0], {
    mean: value,
    deviation: 0,
    count: 3,
  });
  const sum = value + value + value;
  assert.notEqual(sum / 3, value, "their plain mean is another number");
});

Deno.test("makeTable() gives each of several metrics a column, with names that tell them apart", () => {
  const cells = [cell(0, [4, 8, 1], 10, 0.5), cell(1, [2, 8, 1], 20, 0.25)];
  const values = ["quality.tuned.perplexity", "quality.tuned.accuracy"];
  const grouped = makeTable({ ...SPECIFICATION, values, over: [] }, cells, AXES);
  assert.deepEqual(grouped.columns.map(({ title }) => title), [
    "bits 4, perplexity",
    "bits 4, accuracy",
    "bits 2, perplexity",
    "bits 2, accuracy",
  ]);
  assert.deepEqual(grouped.rows[0]?.entries.map((entry) => entry?.mean), [10, 0.5, 20, 0.25]);
  assert.deepEqual(grouped.rows[0]?.entries[0]?.deviation, null);

  const rows = ["base.quantizer.bits"];
  const flat = makeTable({ rows, columns: [], values, over: [] }, cells, AXES);
  assert.deepEqual(flat.columns.map(({ title }) => title), ["perplexity", "accuracy"]);
});

Deno.test("makeTable() names columns by what sets metrics apart, and says what they share", () => {
  const titles = (values: string[]) => {
    const table = makeTable({ rows: [], columns: [], values, over: [] }, CELLS.slice(0, 1), AXES);
    return [table.columns.map(({ title }) => title), table.notes[0]];
  };
  assert.deepEqual(
    titles(["quality.base.perplexity", "quality.tuned.perplexity", "quality.merged.perplexity"]),
    [["base", "tuned", "merged"], "quality.*.perplexity."],
  );
  // One ends where the other goes on: there is nothing between the ends to name it by.
  assert.deepEqual(titles(["a.loss", "a.b.loss"])[0], ["a.loss", "b.loss"]);
});

Deno.test("makeTable() averages what there is and says what is missing", () => {
  const cells = [cell(0, [4, 8, 1], 10), cell(1, [4, 8, 2], null), cell(2, [2, 8, 1], null)];
  const table = makeTable(SPECIFICATION, cells, AXES);
  assert.deepEqual(table.rows[0]?.entries, [{ mean: 10, deviation: null, count: 1 }, null]);
  assert.deepEqual(
    table.notes.at(-1),
    "--: cell 1 failed (tuned: loss is NaN); cell 2 failed (tuned: loss is NaN).",
  );
});

Deno.test("makeTable() leaves holes where the grid has none", () => {
  const table = makeTable(SPECIFICATION, [CELLS[0], CELLS[6]].filter((c) => c !== undefined), AXES);
  assert.deepEqual(table.rows.map(({ entries }) => entries.map((entry) => entry?.mean ?? null)), [
    [10, null],
    [null, 15],
  ]);
  assert.equal(table.notes.at(-1), "--: not part of the grid.");
});

Deno.test("makeTable() refuses to average over an axis that `over` does not name", () => {
  const rows = ["adapter.rank"];
  assert.throws(() => makeTable({ ...SPECIFICATION, rows, columns: [] }, CELLS, AXES), {
    name: "UserError",
    message:
      /^Cells 0 and 2 fall on the same entry of the table but differ in base\.quantizer\.bits/,
  });
  assert.throws(() => makeTable({ ...SPECIFICATION, over: [] }, CELLS, AXES), /differ in seed/);
  const twice = [cell(0, [4, 8, 1], 10), cell(1, [4, 8, 1], 10)];
  assert.throws(() => makeTable({ ...SPECIFICATION, over: [] }, twice, AXES), /duplicate/);
});

Deno.test("shortNames() are the shortest endings that tell paths apart", () => {
  assert.deepEqual(shortNames(["a.b.bits", "a.c.rank"]), ["bits", "rank"]);
  assert.deepEqual(shortNames(["q.base.perplexity", "q.tuned.perplexity"]), [
    "base.perplexity",
    "tuned.perplexity",
  ]);
  assert.deepEqual(shortNames(["seed"]), ["seed"]);
  assert.deepEqual(shortNames([]), []);
});

Deno.test("tableOfResults() shows the seconds of stages, cached ones with the time they once took", () => {
  const results = {
    axes: AXES,
    cells: CELLS.slice(0, 2).map((cell, index) => ({ ...cell, stages: { base: `key${index}` } })),
    stages: { key0: { result: { seconds: 2 } }, key1: { result: { seconds: 4 } } },
  } as unknown as Results; // all that a table reads
  const table = tableOfResults(results, { ...SPECIFICATION, values: ["base.seconds"] });
  assert.deepEqual(table.rows[0]?.entries, [{ mean: 3, deviation: Math.sqrt(2), count: 2 }]);
  assert.deepEqual(tableOfResults(results, null).columns.map(({ metric }) => metric), [
    "quality.tuned.perplexity",
  ]);
});
