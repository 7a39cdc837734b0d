import assert from "node:assert/strict";
import { lookup, originOf, toPlain } from "./located.ts";
import { applyOverrides } from "./overrides.ts";
import { ProblemList } from "./problems.ts";
import { linesOf, locatedMap } from "./testing/experiment_files.ts";

const TEXT = `
vars: { model: a }
graph:
  base: { stage: quantize, model: "\${model}", quantizer: { method: rtn, bits: 4 } }
  tuned: { stage: train, steps: 5 }
grid: { base.quantizer.bits: [4, 2], tuned.optimizer: [{ name: adamw }] }
zip: { seed: [1, 2] }
table: { value: tuned.loss }
`;

function override(...settings: string[]): { readonly plain: unknown; readonly lines: string[] } {
  const problems = new ProblemList();
  const document = applyOverrides(locatedMap(TEXT), settings, "/here", problems);
  return { plain: toPlain(document), lines: linesOf(problems) };
}

Deno.test("applyOverrides() sets parameters of nodes, sections, axes and variables", () => {
  const { plain, lines } = override(
    "base.quantizer.method=nf4",
    "graph.tuned.steps=7",
    "vars.model=hf:org/name",
    "grid.base.quantizer.bits=[8]",
    "grid.tuned.rank=[1, 2]",
    "table.value=[tuned.loss, x.y]",
    "name=other",
    "tuned.text=a=b",
    "zip=null",
    "seed=3",
  );
  assert.deepEqual(lines, []);
  assert.deepEqual(plain, {
    vars: { model: "hf:org/name" },
    graph: {
      base: { stage: "quantize", model: "${model}", quantizer: { method: "nf4", bits: 4 } },
      tuned: { stage: "train", steps: 7, text: "a=b" },
    },
    grid: {
      "base.quantizer.bits": [8],
      "tuned.optimizer": [{ name: "adamw" }],
      "tuned.rank": [1, 2],
    },
    zip: null,
    table: { value: ["tuned.loss", "x.y"] },
    name: "other",
    seed: 3,
  });
});

Deno.test("applyOverrides() remembers the option and the current folder", () => {
  const document = applyOverrides(
    locatedMap(TEXT),
    ["tuned.data=x.txt"],
    "/here",
    new ProblemList(),
  );
  assert.deepEqual(originOf(document, ["graph", "tuned", "data"]), {
    position: null,
    folder: "/here",
    option: "--set tuned.data=x.txt",
  });
  assert.equal(lookup(document, ["graph", "tuned", "steps"])?.origin.position?.line, 5);
});

Deno.test("applyOverrides() reports every setting that cannot be meant", () => {
  const { lines } = override(
    "steps",
    "tund.steps=1",
    "vars.modle=x",
    "tuned.steps.x=1",
    "tuned.steps=[",
    "base.quantizer.bits=3",
    "tuned.optimizer.name=sgd",
    "seed=4",
  );
  assert.deepEqual(lines.map((line) => line.replace(/(valid YAML:).*/, "$1")), [
    "--set steps: write it as --set path=value",
    '--set tund.steps=1: "tund" is neither a node of the graph nor a key of the file; did you ' +
    'mean "tuned"?',
    '--set vars.modle=x: no variable "modle" is declared in vars; did you mean "model"?',
    "--set tuned.steps.x=1: tuned.steps is not a map, so nothing can be set inside it",
    "--set tuned.steps=[: This is not valid YAML:",
    "--set base.quantizer.bits=3: has no effect, because grid gives base.quantizer.bits another " +
    "value in every cell: change the axis instead, --set 'grid.base.quantizer.bits=[...]'",
    "--set tuned.optimizer.name=sgd: has no effect, because grid gives tuned.optimizer another " +
    "value in every cell: change the axis instead, --set 'grid.tuned.optimizer=[...]'",
    "--set seed=4: has no effect, because zip gives seed another value in every cell: change the " +
    "axis instead",
  ]);
});
