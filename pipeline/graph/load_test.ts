import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { experimentFromObject } from "./load.ts";
import { EXAMPLE } from "./testing/experiment_files.ts";
import { load, OPTIONS, parametersOf } from "./testing/load_files.ts";

Deno.test("loadExperiment() reads the example of the design", async () => {
  const { experiment, folder } = await load({ "own.yaml": EXAMPLE });
  assert.equal(experiment.name, "balance");
  assert.equal(experiment.file, join(folder, "own.yaml"));
  assert.equal(experiment.folder, folder);
  assert.deepEqual(experiment.axes, ["base.quantizer.bits", "adapter.rank", "seed"]);
  assert.deepEqual(experiment.table, {
    rows: ["adapter.form", "adapter.rank"],
    columns: ["base.quantizer.bits"],
    values: ["quality.tuned.perplexity"],
    over: ["seed"],
  });
  assert.equal(experiment.cells.length, 8);
  const last = experiment.cells[7];
  assert.deepEqual(last?.values, { "base.quantizer.bits": 2, "adapter.rank": 16, seed: 2 });
  assert.equal(last?.seed, 2);
  assert.deepEqual(last?.nodes.map(({ name, stage, from }) => [name, stage, ...from]), [
    ["base", "quantize"],
    ["adapter", "initialize", "base"],
    ["tuned", "train", "adapter"],
    ["merged", "merge", "tuned"],
    ["quality", "evaluate", "base", "tuned", "merged"],
  ]);
  assert.deepEqual(parametersOf(last, "base"), {
    model: join(folder, "path/to/hf-folder"),
    quantizer: { method: "rtn", bits: 2, group_size: 32 },
  });
  assert.equal(
    (parametersOf(last, "tuned")["optimizer"] as { lr: number }).lr,
    2e-4,
  );
  assert.deepEqual(experiment.document, parse(EXAMPLE));
});

Deno.test("loadExperiment() fills in defaults: name, seed, parameters, order of nodes", async () => {
  const { experiment } = await load({
    "own.yaml": `graph:
  adapter: { stage: initialize, from: base, form: lora, rank: 2 }
  base: { stage: quantize, model: "hf:org/name", quantizer: { method: nf4 } }
`,
  });
  assert.equal(experiment.name, "own");
  assert.equal(experiment.table, null);
  const [cell] = experiment.cells;
  assert.deepEqual({ ...cell, nodes: cell?.nodes.map(({ name }) => name) }, {
    index: 0,
    values: {},
    seed: 0,
    nodes: ["base", "adapter"],
  });
  assert.deepEqual(parametersOf(cell, "adapter"), {
    form: "lora",
    rank: 2,
    alpha: 16,
    init: "zero",
  });
  assert.equal(parametersOf(cell, "base")["model"], "hf:org/name");
});

Deno.test("loadExperiment() checks a node as each cell completes it", async () => {
  const { experiment } = await load({
    "own.yaml": `graph:
  base: { stage: quantize, model: m, quantizer: { method: rtn } }
grid:
  base.quantizer.bits: [4, 2]
  base.quantizer.group_size: [64]
`,
  });
  assert.deepEqual(
    experiment.cells.map((cell) => parametersOf(cell, "base")["quantizer"]),
    [4, 2].map((bits) => ({ method: "rtn", bits, group_size: 64 })),
  );
});

Deno.test("loadExperiment() varies variables, inputs and whole maps", async () => {
  const { experiment } = await load({
    "own.yaml": `vars: { size: small }
graph:
  one: { stage: quantize, model: "\${size}/\${size}", quantizer: { method: none } }
  two: { stage: quantize, model: "hf:x", quantizer: { method: nf4 } }
  adapter: { stage: initialize, from: one, form: lora, rank: 2 }
zip:
  vars.size: [a, "\${env:DATA}/b"]
  adapter.from: [one, two]
include:
  - one.quantizer: { method: rtn, bits: 8 }
table: { value: adapter.loss, rows: [vars.size, one.quantizer.method] }
`,
  });
  assert.deepEqual(experiment.axes, ["vars.size", "adapter.from", "one.quantizer"]);
  assert.deepEqual(experiment.cells.map(({ values }) => Object.values(values)), [
    ["a", "one", { method: "none" }],
    ["\${env:DATA}/b", "two", { method: "none" }],
    ["small", "one", { method: "rtn", bits: 8 }],
  ]);
  assert.equal(parametersOf(experiment.cells[1], "one")["model"], "/data/b//data/b");
  assert.deepEqual(
    experiment.cells.map(({ nodes }) => nodes.find(({ name }) => name === "adapter")?.from),
    [["one"], ["two"], ["one"]],
  );
});

Deno.test("loadExperiment() makes paths absolute from the file in which they are written", async () => {
  const { experiment, folder } = await load({
    "shared/base.yaml": `vars: { corpus: text.txt, dir: data }
graph:
  base: { stage: quantize, model: model, quantizer: { method: none } }
  quality: { stage: evaluate, from: base, tasks: [{ task: perplexity, data: { text: x } }] }
`,
    "own.yaml": `extends: shared/base.yaml
vars: { own: own.txt }
graph:
  quality:
    tasks:
      - { task: perplexity, data: { text: ["\${corpus}", "\${dir}/*.txt", "\${own}", ../up.txt,
          "npm:pkg/x", "/abs", "sub/\${own}"] } }
  adapter: { stage: initialize, from: base, form: lora, rank: 1, init: { peft: adapter } }
  set: { stage: quantize, model: "\${env:DATA}/m", quantizer: { method: none } }
`,
  }, ["graph.second={ stage: quantize, model: here, quantizer: { method: none } }"]);
  const [cell] = experiment.cells;
  assert.equal(parametersOf(cell, "base")["model"], join(folder, "shared/model"));
  assert.deepEqual(parametersOf(cell, "quality")["tasks"], [{
    task: "perplexity",
    window: 512,
    data: {
      text: [
        join(folder, "shared/text.txt"),
        join(folder, "shared/data/*.txt"),
        join(folder, "own.txt"),
        join(folder, "../up.txt"),
        "npm:pkg/x",
        "/abs",
        join(folder, "sub/own.txt"),
      ],
    },
  }]);
  assert.deepEqual(parametersOf(cell, "adapter")["init"], { peft: join(folder, "adapter") });
  assert.equal(parametersOf(cell, "set")["model"], "/data/m");
  assert.equal(parametersOf(cell, "second")["model"], resolve("here"));
});

Deno.test("loadExperiment() makes paths of settings absolute from the folder that they are given in", () => {
  const { grid: _, table: __, ...single } = parse(EXAMPLE);
  const at = (setFolder?: string) => {
    const { cells } = experimentFromObject(single, {
      ...OPTIONS,
      folder: "/experiments",
      set: ["base.model=mine"],
      ...(setFolder === undefined ? {} : { setFolder }),
    });
    return parametersOf(cells[0], "base")["model"];
  };
  assert.equal(at("/home/me"), "/home/me/mine");
  assert.equal(at(), resolve("mine"));
});

Deno.test("Experiment.position() finds parameters, axes and the values of variables", async () => {
  const { experiment, folder } = await load({ "own.yaml": EXAMPLE });
  const place = (path: string) => {
    const position = experiment.position(path);
    assert.equal(position?.file, join(folder, "own.yaml"));
    return [position.line, position.column];
  };
  assert.deepEqual(place("base.quantizer.group_size"), [8, 98]);
  assert.deepEqual(place("base.quantizer.bits"), [18, 3]);
  assert.deepEqual(place("tuned.data.text"), [6, 11]);
  assert.deepEqual(place("base.quantizer.unwritten"), [8, 51]);
  assert.deepEqual(place("seed"), [20, 3]);
  assert.deepEqual(place("table.over"), [25, 9]);
});

Deno.test("experimentFromObject() reads the same experiment as the file", async () => {
  const { experiment, folder } = await load({ "own.yaml": EXAMPLE });
  const fromObject = experimentFromObject(parse(EXAMPLE), { ...OPTIONS, folder });
  assert.equal(fromObject.file, null);
  assert.equal(fromObject.position("base.model"), null);
  for (const key of ["name", "folder", "cells", "axes", "table", "document"] as const) {
    assert.deepEqual(fromObject[key], experiment[key], key);
  }
});
