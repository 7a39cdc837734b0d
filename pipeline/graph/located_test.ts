import assert from "node:assert/strict";
import fc from "fast-check";
import {
  fromPlain,
  type Located,
  type LocatedMap,
  lookup,
  merge,
  obstacle,
  originOf,
  originOfKey,
  type Path,
  place,
  scalars,
  toPlain,
} from "./located.ts";
import type { Origin } from "./origin.ts";
import { ProblemList } from "./problems.ts";
import { linesOf, locatedMap } from "./testing/experiment_files.ts";

const SEEDED = { seed: 20 };
const HERE: Origin = { position: null, folder: "/here" };

function located(value: unknown): Located {
  const problems = new ProblemList();
  const result = fromPlain(value, HERE, [], problems);
  problems.throwIfAny();
  return result;
}

const plainValues = fc.jsonValue({ maxDepth: 3 });
const paths = fc.array(fc.constantFrom("a", "b", "c", "0", "1"), { minLength: 1, maxLength: 4 });

Deno.test("toPlain() undoes fromPlain() for everything that JSON can say", () => {
  fc.assert(
    fc.property(plainValues, (value) => {
      assert.deepEqual(toPlain(located(value)), value);
    }),
    SEEDED,
  );
});

Deno.test("place() puts the value at the path, and an obstacle is where it would throw", () => {
  const roots = fc.object({
    key: fc.constantFrom("a", "b", "0"),
    maxDepth: 3,
    values: [
      fc.integer(),
      fc.constant(null),
      fc.array(fc.integer(), { maxLength: 2 }),
    ],
  });
  fc.assert(
    fc.property(roots, paths, plainValues, (value, path, placed) => {
      const root = located(value);
      const put = () => place(root, path, located(placed), HERE);
      if (obstacle(root, path) !== null) assert.throws(put, RangeError);
      else assert.deepEqual(toPlain(lookup(put(), path) as Located), placed);
      assert.deepEqual(toPlain(root), value, "the original is as it was");
    }),
    SEEDED,
  );
});

Deno.test("place() keeps the neighbours and makes the maps that are missing", () => {
  const root = locatedMap("a: { b: 1, c: 2 }\nd: [{ e: 1 }]\nf:\n");
  const put = (path: Path) => toPlain(place(root, path, located(9), HERE));
  assert.deepEqual(put(["a", "b"]), { a: { b: 9, c: 2 }, d: [{ e: 1 }], f: null });
  assert.deepEqual(put(["a", "x", "y"]), {
    a: { b: 1, c: 2, x: { y: 9 } },
    d: [{ e: 1 }],
    f: null,
  });
  assert.deepEqual(put(["d", "0", "e"]), { a: { b: 1, c: 2 }, d: [{ e: 9 }], f: null });
  assert.deepEqual(put(["f", "g"]), { a: { b: 1, c: 2 }, d: [{ e: 1 }], f: { g: 9 } });
  assert.deepEqual(obstacle(root, ["a", "b", "x"]), ["a", "b"]);
  assert.deepEqual(obstacle(root, ["d", "1"]), ["d", "1"]);
});

Deno.test("merge() merges maps key by key and replaces all else", () => {
  const below = locatedMap("a: { x: 1, y: [1, 2] }\nb: 1\nc: { z: 1 }");
  const above = locatedMap("a: { y: [3], w: 4 }\nc: 5\nd: 6");
  assert.deepEqual(toPlain(merge(below, above)), {
    a: { x: 1, y: [3], w: 4 },
    b: 1,
    c: 5,
    d: 6,
  });
});

Deno.test("merge() keeps everything of the upper map, and a map over itself stays the same", () => {
  const maps = fc.dictionary(fc.constantFrom("a", "b", "c"), plainValues).map((value) =>
    located(value)
  );
  fc.assert(
    fc.property(maps, maps, (below, above) => {
      const merged = merge(below, above);
      for (const [path, { value }] of scalars(above)) {
        assert.equal((lookup(merged, path) as { value?: unknown }).value, value);
      }
      assert.deepEqual(toPlain(merge(above, above)), toPlain(above));
      assert.deepEqual(toPlain(merge(merged, above)), toPlain(merged));
    }),
    SEEDED,
  );
});

Deno.test("originOf() falls back to the key around what is not written", () => {
  const root = locatedMap("a:\n  b:\n    c: 1\n");
  assert.equal(originOf(root, ["a", "b", "c"]).position?.column, 8);
  assert.equal(originOfKey(root, ["a", "b", "c"]).position?.column, 5);
  assert.deepEqual(originOf(root, ["a", "b", "x", "y"]).position, {
    file: "test.yaml",
    line: 2,
    column: 3,
  });
});

Deno.test("fromPlain() reports what a YAML file could not say", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = { cycle };
  const problems = new ProblemList();
  const value = { a: new Float32Array(1), b: () => 1, c: [1n], d: undefined, e: cycle };
  fromPlain(value, HERE, [], problems);
  const wanted = "must be text, a number, true, false, null, a list or a map: found";
  assert.deepEqual(linesOf(problems), [
    `a ${wanted} an object of class Float32Array`,
    `b ${wanted} a value of type function`,
    `c.0 ${wanted} a value of type bigint`,
    `e.self.cycle ${wanted} an object that contains itself`,
  ]);
  const shared = { x: 1 };
  assert.deepEqual(toPlain(located({ p: shared, q: shared })), { p: { x: 1 }, q: { x: 1 } });
});

Deno.test("scalars() visits every scalar once with its path", () => {
  const root: LocatedMap = locatedMap("a: [1, { b: x }]\nc: null");
  assert.deepEqual([...scalars(root)].map(([path, { value }]) => [path.join("."), value]), [
    ["a.0", 1],
    ["a.1.b", "x"],
    ["c", null],
  ]);
});
