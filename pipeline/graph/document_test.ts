import assert from "node:assert/strict";
import { parse } from "yaml";
import { parseYaml } from "./document.ts";
import { lookup, originOf, originOfKey, toPlain } from "./located.ts";
import { ProblemList } from "./problems.ts";
import { linesOf, locatedMap } from "./testing/experiment_files.ts";

function mistakesIn(text: string): string[] {
  const problems = new ProblemList();
  parseYaml(text, { file: "test.yaml", folder: "/files" }, problems);
  return linesOf(problems);
}

Deno.test("parseYaml() gives every key and value its line and column, counted from 1", () => {
  const root = locatedMap("a: 1\nb:\n  c: [x, { d: 2 }]\n");
  assert.deepEqual(originOf(root, ["a"]).position, { file: "test.yaml", line: 1, column: 4 });
  assert.deepEqual(originOfKey(root, ["b", "c"]).position, {
    file: "test.yaml",
    line: 3,
    column: 3,
  });
  assert.deepEqual(originOf(root, ["b", "c", "1", "d"]).position, {
    file: "test.yaml",
    line: 3,
    column: 15,
  });
});

Deno.test("parseYaml() reads scalars by the YAML 1.2 core schema", () => {
  const text = "a: 2e-4\nb: yes\nc: 0x10\nd: null\ne:\nf: '4'\ng: true\nh: 1_000\n4: x\n";
  assert.deepEqual(toPlain(locatedMap(text)), {
    a: 0.0002,
    b: "yes",
    c: 16,
    d: null,
    e: null,
    f: "4",
    g: true,
    h: "1_000",
    "4": "x",
  });
});

Deno.test("parseYaml() follows aliases and merge keys as the yaml library does", () => {
  const text = "x: &x { p: 1, q: [1, 2] }\ny: &y { p: 5, r: 3 }\n" +
    "a: { <<: *x, q: 3 }\nb: { q: 4, <<: [*x, *y] }\nc: *x\n";
  const root = locatedMap(text);
  assert.deepEqual(toPlain(root), parse(text, { merge: true }));
  assert.equal(originOf(root, ["a", "p"]).position?.line, 1, "a merged value stands where it was");
});

Deno.test("parseYaml() keeps a key __proto__ an ordinary key", () => {
  const value = toPlain(locatedMap("__proto__: { polluted: true }")) as Record<string, unknown>;
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal(value["polluted"], undefined);
});

Deno.test("parseYaml() reports all duplicate keys", () => {
  assert.deepEqual(mistakesIn("a: 1\nb: { c: 1, c: 2 }\na: 3\n"), [
    'test.yaml:2:12: The key "c" is given twice (first in line 2)',
    'test.yaml:3:1: The key "a" is given twice (first in line 1)',
  ]);
});

Deno.test("parseYaml() refuses tags, also the library's own beyond plain data", () => {
  assert.deepEqual(mistakesIn("a: !grid [1]\nb: !!set { x }\nc: !!str 4\nd: !!binary aGk="), [
    'test.yaml:1:10: The tag "!grid" is not allowed: an experiment is plain data',
    'test.yaml:2:10: The tag "!!set" is not allowed: an experiment is plain data',
    'test.yaml:4:13: The tag "!!binary" is not allowed: an experiment is plain data',
  ]);
});

Deno.test("parseYaml() reports only the first syntax error, at its place", () => {
  const cases: [string, RegExp][] = [
    ["a: [1, 2\nb: 3", /^test\.yaml:2:1: This is not valid YAML: /],
    ["a:\n\t- b", /^test\.yaml:2:1: YAML cannot be indented with tabs: use spaces$/],
    ["a: 1\n---\nb: 2", /^test\.yaml:2:1: The file holds more than one YAML document/],
    ["a: { b: ${c}, d: 1 }\ne: 2", /^test\.yaml:1:10: .* must stand in quotes: "\$\{name\}"$/],
  ];
  for (const [text, wanted] of cases) {
    const lines = mistakesIn(text);
    assert.equal(lines.length, 1, text);
    assert.match(lines[0] ?? "", wanted);
  }
});

Deno.test("parseYaml() reports aliases without anchor, aliases of themselves and complex keys", () => {
  assert.deepEqual(mistakesIn("a: *b\nc: &c [*c]\n? [1]\n: 2\n<<: 3\n"), [
    'test.yaml:1:4: The alias "*b" has no anchor "&b" before it',
    'test.yaml:2:8: The alias "*c" stands inside the value that it repeats',
    "test.yaml:3:3: A key must be plain text: found a list, a map or an alias",
    'test.yaml:5:5: The value of "<<" must be a map or a list of maps',
  ]);
});

Deno.test("parseYaml() stops a small file from blowing up through aliases", () => {
  const levels = Array.from({ length: 9 }, (_, level) => {
    const below = level === 0 ? "x" : `*l${level - 1}`;
    return `l${level}: &l${level} [${Array(10).fill(below).join(", ")}]`;
  });
  assert.match(mistakesIn(levels.join("\n")).join("\n"), /has more than 100000 values/);
});

Deno.test("parseYaml() reads an empty text as nothing", () => {
  const problems = new ProblemList();
  const root = parseYaml("# only a comment\n", { option: "--set a=", folder: "/" }, problems);
  assert.equal(root && lookup(root, [])?.kind, "scalar");
  assert.deepEqual(root?.origin, { position: null, folder: "/", option: "--set a=" });
});
