import assert from "node:assert/strict";
import fc from "fast-check";
import { expandGrid, product } from "./grid.ts";
import { fromPlain, type LocatedMap, lookup, toPlain } from "./located.ts";
import { ProblemList } from "./problems.ts";
import { linesOf, locatedMap } from "./testing/experiment_files.ts";

const SEEDED = { seed: 22 };

const GRAPH = {
  base: { stage: "quantize", model: "m", quantizer: { method: "rtn", bits: 4, group_size: 32 } },
  adapter: { stage: "initialize", from: "base", rank: 8 },
};

interface Cells {
  readonly axes: readonly string[];
  /** Values at the axes, cell by cell. */
  readonly values: unknown[][];
  readonly lines: string[];
}

function expand(document: LocatedMap): Cells {
  const problems = new ProblemList();
  const { axes, cells } = expandGrid(document, problems);
  const values = cells.map((cell) =>
    axes.map((axis) => {
      const path = axis === "seed" || axis.startsWith("vars.") ? axis : `graph.${axis}`;
      const part = lookup(cell, path.split("."));
      return part === null ? undefined : toPlain(part);
    })
  );
  return { axes, values, lines: linesOf(problems) };
}

function expandSections(sections: Record<string, unknown>): Cells {
  const origin = { position: null, folder: "/" };
  const plain = { seed: 0, vars: { v: 1 }, graph: GRAPH, ...sections };
  return expand(fromPlain(plain, origin, [], new ProblemList()) as LocatedMap);
}

const lists = (length?: number) =>
  fc.uniqueArray(fc.integer({ min: 0, max: 9 }), {
    minLength: length ?? 1,
    maxLength: length ?? 4,
  });

Deno.test("expandGrid() without sections gives the one cell of the file", () => {
  assert.deepEqual(expandSections({}), { axes: [], values: [[]], lines: [] });
});

Deno.test("expandGrid() gives every combination of grid once, the last axis fastest", () => {
  fc.assert(
    fc.property(lists(), lists(), lists(), (bits, rank, seed) => {
      const grid = { "base.quantizer.bits": bits, "adapter.rank": rank, seed };
      const { axes, values, lines } = expandSections({ grid });
      assert.deepEqual(lines, []);
      assert.deepEqual(axes, Object.keys(grid));
      const wanted: number[][] = [];
      for (const b of bits) for (const r of rank) for (const s of seed) wanted.push([b, r, s]);
      assert.deepEqual(values, wanted);
    }),
    SEEDED,
  );
});

Deno.test("expandGrid() advances the lists of a zip together", () => {
  const equallyLong = fc.integer({ min: 1, max: 4 }).chain((length) =>
    fc.tuple(lists(length), lists(length))
  );
  fc.assert(
    fc.property(equallyLong, lists(), ([bits, rank], seed) => {
      const zip = { "base.quantizer.bits": bits, "adapter.rank": rank };
      const { values, lines } = expandSections({ grid: { seed }, zip });
      assert.deepEqual(lines, []);
      assert.deepEqual(
        values,
        seed.flatMap((s) => bits.map((b, index) => [s, b, rank[index]])),
      );
      const several = expandSections({ zip: [zip, { seed }] });
      assert.equal(several.values.length, bits.length * seed.length);
    }),
    SEEDED,
  );
});

Deno.test("expandGrid() removes exactly the cells that match an entry of exclude", () => {
  fc.assert(
    fc.property(lists(), lists(), lists(2), (bits, rank, [x = 0, y = 0]) => {
      const grid = { "base.quantizer.bits": bits, "adapter.rank": rank };
      const exclude = [
        { "base.quantizer.bits": x },
        { "base.quantizer.bits": y, "adapter.rank": x },
      ];
      const all = product([bits, rank]);
      const kept = all.filter(([b, r]) => b !== x && !(b === y && r === x));
      const { values, lines } = expandSections({ grid, exclude });
      assert.deepEqual(values, kept);
      assert.deepEqual(lines, kept.length > 0 ? [] : ["exclude leaves no cell of the grid"]);
    }),
    SEEDED,
  );
});

Deno.test("expandGrid() lets exclude name parts of values and parameters that are no axes", () => {
  const quantizers = [{ method: "none" }, { method: "rtn", bits: 2 }, { method: "rtn", bits: 4 }];
  const { values } = expandSections({
    grid: { "base.quantizer": quantizers, "adapter.rank": [1, 2] },
    exclude: [
      { "base.quantizer.method": "none", "adapter.rank": 2 },
      { "base.quantizer": { bits: 2, method: "rtn" }, "base.model": "m" },
      { "base.quantizer.bits": 4, "base.model": "another" },
    ],
  });
  assert.deepEqual(values, [
    [{ method: "none" }, 1],
    [{ method: "rtn", bits: 4 }, 1],
    [{ method: "rtn", bits: 4 }, 2],
  ]);
});

Deno.test("expandGrid() adds the cells of include after the grid, whatever is excluded", () => {
  const { axes, values } = expandSections({
    grid: { seed: [1, 2] },
    exclude: [{ seed: 1 }],
    include: [{ seed: 1 }, { "adapter.rank": 64, seed: 5 }, { seed: 2 }, { "vars.v": 3 }],
  });
  assert.deepEqual(axes, ["seed", "adapter.rank", "vars.v"]);
  assert.deepEqual(values, [[2, 8, 1], [1, 8, 1], [5, 64, 1], [0, 8, 3]]);
});

Deno.test("expandGrid() takes the cells of include alone where there is no grid", () => {
  const { values } = expandSections({
    include: [{ "adapter.rank": 1 }, { "adapter.rank": 2, seed: 3 }],
  });
  assert.deepEqual(values, [[1, 0], [2, 3]]);
});

Deno.test("expandGrid() keeps the other keys of a map and makes maps that are missing", () => {
  const origin = { position: null, folder: "/" };
  const plain = {
    graph: GRAPH,
    grid: { "base.quantizer.bits": [2], "adapter.init.peft": ["x"], "base.quantizer": [{ a: 1 }] },
  };
  const { cells } = expandGrid(
    fromPlain(plain, origin, [], new ProblemList()) as LocatedMap,
    new ProblemList(),
  );
  assert.deepEqual(cells.map((cell) => (toPlain(cell) as { graph: unknown }).graph), [{
    base: { stage: "quantize", model: "m", quantizer: { a: 1, bits: 2 } },
    adapter: { stage: "initialize", from: "base", rank: 8, init: { peft: "x" } },
  }]);
});

Deno.test("expandGrid() reports axes that name nothing, each at its key", () => {
  const { lines } = expand(locatedMap(`
graph: { base: { stage: x, bits: 4 }, list: [1] }
vars: { model: a }
grid:
  bas.bits: [1]
  base: [1]
  base.stage: [y]
  base.bits.x: [1]
  vars.modle: [b]
  sed: [1]
  base.bits: [2, 4, 2]
zip:
  - { base.bits: [1] }
  - { base.c: [1, 2], base.d: [1], base.e: [1, 2] }
exclude: [{ vase.bits: 3 }]
include: [{ base.bits.y: 3 }]
`));
  const where = "(an axis is node.parameter, seed or vars.name)";
  assert.deepEqual(lines, [
    `test.yaml:5:3: bas.bits: "bas" is not a node of the graph ${where}; did you mean "base"?`,
    'test.yaml:6:3: base: an axis names a parameter of a node ("base.parameter")',
    'test.yaml:7:3: base.stage: an axis names a parameter of a node ("base.parameter")',
    "test.yaml:8:3: base.bits.x: base.bits is not a map, so nothing can be set inside it",
    'test.yaml:9:3: vars.modle: no variable "modle" is declared in vars; did you mean "model"?',
    `test.yaml:10:3: sed: "sed" is not a node of the graph ${where}; did you mean "seed"?`,
    "test.yaml:11:21: base.bits lists 2 twice",
    "test.yaml:13:7: base.bits is an axis of grid or of another zip already",
    "test.yaml:14:23: The lists of a zip must be equally long: base.d has 1 values, base.c has 2",
    `test.yaml:15:13: vase.bits: "vase" is not a node of the graph ${where}; did you mean "base"?`,
    "test.yaml:16:13: base.bits.y: base.bits is not a map, so nothing can be set inside it",
  ]);
});

Deno.test("expandGrid() refuses a grid that nobody means to run", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index);
  const { values, lines } = expandSections({
    grid: { "base.a": hundred, "base.b": hundred, "base.c": hundred },
  });
  assert.equal(values.length, 1);
  assert.deepEqual(lines, ["The grid has 1000000 cells, more than the 100000 that are allowed"]);
});
