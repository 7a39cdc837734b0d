import assert from "node:assert/strict";
import { Interpolator } from "./interpolation.ts";
import { type Located, type LocatedMap, lookup, toPlain } from "./located.ts";
import { ProblemList } from "./problems.ts";
import { linesOf, locatedMap } from "./testing/experiment_files.ts";

const ENVIRONMENT = new Map([["DATA", "/data"]]);

function interpolate(text: string): { readonly value: Located; readonly lines: string[] } {
  const root = locatedMap(text);
  const problems = new ProblemList();
  const variables = lookup(root, ["vars"]) as LocatedMap | null;
  const interpolator = new Interpolator(variables, (name) => ENVIRONMENT.get(name), problems);
  const value = interpolator.apply(lookup(root, ["use"]) as Located);
  return { value, lines: linesOf(problems) };
}

Deno.test("Interpolator.apply() gives text that is one reference the variable's type and place", () => {
  const { value, lines } = interpolate(
    "vars:\n  bits: 4\n  list: [1, '${bits}']\nuse: { a: '${bits}', b: '${list}', c: [x, '${bits}'] }",
  );
  assert.deepEqual(lines, []);
  assert.deepEqual(toPlain(value), { a: 4, b: [1, 4], c: ["x", 4] });
  assert.equal(lookup(value, ["a"])?.origin.position?.line, 2);
});

Deno.test("Interpolator.apply() joins references inside longer text", () => {
  const { value, lines } = interpolate(
    "vars: { dir: 'models/${size}', size: 7 }\nuse: ['${dir}/x', 'n=${size}B', '$${dir}', 'a$b {c}']",
  );
  assert.deepEqual(lines, []);
  assert.deepEqual(toPlain(value), ["models/7/x", "n=7B", "${dir}", "a$b {c}"]);
});

Deno.test("Interpolator.apply() marks what comes from the environment", () => {
  const { value, lines } = interpolate(
    "vars: { d: '${env:DATA}/m' }\nuse: ['${d}', '${env:DATA}', x]",
  );
  assert.deepEqual(lines, []);
  assert.deepEqual(toPlain(value), ["/data/m", "/data", "x"]);
  const marks = ["0", "1", "2"].map((index) => {
    const part = lookup(value, [index]);
    return part?.kind === "scalar" ? part.environment : null;
  });
  assert.deepEqual(marks, [["DATA"], ["DATA"], undefined]);
});

Deno.test("Interpolator.apply() reports references that mean nothing, each at its place", () => {
  const { lines } = interpolate(
    "vars: { model: x, a: '${b}', b: '${a}', map: { c: 1 } }\nuse:\n" +
      ["${modle}", "${env:NOWHERE}", "${a b}", "x${model", "${a}", "x ${map}", "${env:}"]
        .map((text) => `  - "${text}"\n`).join(""),
  );
  assert.deepEqual(lines, [
    "test.yaml:1:33: A variable cannot stand for itself: a -> b -> a",
    'test.yaml:3:5: The variable ${modle} is not declared in vars; did you mean "model"?',
    "test.yaml:4:5: The environment variable NOWHERE is not set",
    'test.yaml:5:5: "${a b}" in "${a b}" is not a reference: write ${name}, ${env:NAME}, or $${ ' +
    "for the characters themselves",
    'test.yaml:6:5: "${model" in "x${model" is not a reference: write ${name}, ${env:NAME}, or ' +
    "$${ for the characters themselves",
    "test.yaml:8:5: ${map} stands inside longer text, so it must be text or a number: found a map",
    'test.yaml:9:5: "${env:}" in "${env:}" is not a reference: write ${name}, ${env:NAME}, or $${ ' +
    "for the characters themselves",
  ]);
});

Deno.test("Interpolator.apply() takes the folder of a path from the variable that begins it", () => {
  const problems = new ProblemList();
  const origin = { position: null, folder: "/base" };
  const variables: LocatedMap = {
    kind: "map",
    origin,
    entries: new Map([["d", { key: origin, value: { kind: "scalar", value: "data", origin } }]]),
  };
  const interpolator = new Interpolator(variables, () => undefined, problems);
  const folderOf = (value: string) =>
    interpolator.apply({ kind: "scalar", value, origin: { position: null, folder: "/own" } }).origin
      .folder;
  assert.deepEqual(["${d}", "${d}/x", "x/${d}", "x"].map(folderOf), [
    "/base",
    "/base",
    "/own",
    "/own",
  ]);
});
