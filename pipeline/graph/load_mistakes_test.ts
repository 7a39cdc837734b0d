import assert from "node:assert/strict";
import { parse } from "yaml";
import { ConfigurationError } from "./experiment.ts";
import { experimentFromObject } from "./load.ts";
import { EXAMPLE, FAKE_STAGES } from "./testing/experiment_files.ts";
import { mistakes, OPTIONS } from "./testing/load_files.ts";

const BASE = `graph:
  base: { stage: quantize, model: m, quantizer: { method: rtn, bits: 4 } }
`;

Deno.test("loadExperiment() reports all mistakes at once, each at its place", async () => {
  const lines = await mistakes(`name: balance
sed: 42
vars:
  model: path/to/hf-folder
graph:
  base:    { stage: quantize, model: "\${modle}", quantizer: { method: rtn, bits: 5, grop_size: 32 } }
  other:   { stage: quantise, model: 4 }
  third:   { stage: quantize, quantizer: { method: rtm } }
  adapter: { stage: initialize, from: bas, form: qa_blora, rank: "16" }
  tuned:   { stage: train, from: merged, data: { text: x }, steps: 0, optimizer: { name: adamw, lr: 1 } }
  merged:  { stage: merge, from: loop, x: 1 }
  loop:    { stage: train, from: tuned, data: { text: x }, steps: 1, optimizer: { name: adamw, lr: 1 } }
  quality: { stage: evaluate, from: [base, third, base], tasks: [] }
  listed:  { stage: merge, from: [adapter] }
  lonely:  { stage: evaluate, tasks: [{ task: perplexity, data: { text: x } }] }
  fed:     { stage: quantize, from: base, model: m, quantizer: { method: none } }
  wrong:   { stage: merge, from: 3 }
  table:   { stage: merge, from: adapter }
  a.b:     { stage: merge, from: adapter }
  empty:
  stages:  { model: m }
grid:
  third.quantizer.bits: [4, 7]
  adaptor.rank: [4]
  seed: 3
table:
  rows: [adapter.form, adapter.rnk]
  columns: third.quantizer.bitz
  value: [quality.thrd.perplexity, qual.x.y]
  over: sed
`);
  assert.deepEqual(lines, [
    'own.yaml:2:1: Unknown key "sed"; did you mean "seed"? Allowed: extends, $schema, name, ' +
    "description, seed, vars, graph, grid, zip, include, exclude, table, scale, scales",
    'own.yaml:6:38: The variable \${modle} is not declared in vars; did you mean "model"?',
    "own.yaml:6:82: base.quantizer.bits must be 2, 3, 4 or 8: found 5",
    'own.yaml:6:85: Unknown key "grop_size" in base.quantizer with method "rtn"; did you mean ' +
    '"group_size"? Allowed: method, bits, group_size',
    'own.yaml:7:21: Unknown stage "quantise" in other; did you mean "quantize"? Allowed: ' +
    "quantize, initialize, train, merge, evaluate, note",
    'own.yaml:8:3: Missing key "model" in third: it must be text',
    'own.yaml:8:52: third.quantizer.method must be "none", "rtn" or "nf4": found "rtm"; did you ' +
    'mean "rtn"?',
    'own.yaml:9:39: adapter.from names no node of the graph: found "bas"; did you mean "base"?',
    'own.yaml:9:50: adapter.form must be "lora", "qa-lora", "q-blora" or "qa-blora": found ' +
    '"qa_blora"; did you mean "qa-blora"?',
    'own.yaml:9:66: adapter.rank must be a number: found "16" in quotes; a number has none',
    "own.yaml:10:34: tuned.from must name a node that makes an adapter: merged makes a model; " +
    "nodes that do: adapter, loop",
    "own.yaml:10:34: The graph has a cycle, in which each node reads the next: tuned -> merged -> " +
    "loop -> tuned",
    "own.yaml:10:68: tuned.steps must be at least 1: found 0",
    'own.yaml:11:40: Unknown key "x" in merged; allowed: stage, from',
    "own.yaml:13:51: quality.from names base twice",
    "own.yaml:13:65: quality.tasks must be a list of at least 1 entry: found an empty list",
    "own.yaml:14:34: listed.from must be the name of one node: the stage merge takes no list",
    'own.yaml:15:3: Missing key "from" in lonely: it must name the model or adapter to read',
    'own.yaml:16:31: fed: the stage quantize takes no "from"',
    "own.yaml:17:34: wrong.from must be the name of a node: found 3",
    "own.yaml:18:3: A node cannot be called table, which is a key of the experiment file",
    'own.yaml:19:3: The name of a node consists of letters, digits, "_" and "-": found "a.b"',
    'own.yaml:20:9: empty must be a map with the key "stage": found nothing',
    'own.yaml:21:3: Missing key "stage" in stages: it must be "quantize", "initialize", "train", ' +
    '"merge", "evaluate" or "note"',
    'own.yaml:24:3: adaptor.rank: "adaptor" is not a node of the graph (an axis is ' +
    'node.parameter, seed or vars.name); did you mean "adapter"?',
    "own.yaml:25:9: grid.seed must be a list: found 3",
    'own.yaml:27:24: table.rows: "adapter.rnk" names no axis and no parameter of a node; did you ' +
    'mean "adapter.rank"?',
    'own.yaml:28:12: table.columns: "third.quantizer.bitz" names no axis and no parameter of a ' +
    'node; did you mean "third.quantizer.bits"?',
    'own.yaml:29:11: table.value: "quality.thrd.perplexity" must be quality.input.metric, where ' +
    'the input is base or third; did you mean "third"?',
    'own.yaml:29:36: table.value: "qual.x.y" names no node of the graph',
    'own.yaml:30:9: table.over: "sed" is not an axis; did you mean "seed"? Allowed: ' +
    "third.quantizer.bits, adaptor.rank, seed",
  ]);
});

Deno.test("loadExperiment() reports a wrong value of the grid there, and once", async () => {
  const lines = await mistakes(`${BASE}grid:
  base.quantizer:
    - { method: none }
    - { method: rtn, bits: 7 }
    - { method: rtn, bits: 4, grop_size: 3 }
  base.modle: [x]
  seed: [1, -2, 3]
`);
  assert.deepEqual(lines, [
    "own.yaml:6:28: base.quantizer.bits must be 2, 3, 4 or 8: found 7",
    'own.yaml:7:31: Unknown key "grop_size" in base.quantizer with method "rtn"; did you mean ' +
    '"group_size"? Allowed: method, bits, group_size',
    'own.yaml:8:3: Unknown key "modle" in base; did you mean "model"? Allowed: stage, model, quantizer',
    "own.yaml:9:13: seed must be a whole number of at least 0: found -2",
  ]);
});

Deno.test("loadExperiment() allows the environment only in paths", async () => {
  const lines = await mistakes(`vars: { form: "\${env:DATA}", free: "\${env:UNUSED}" }
graph:
  base: { stage: quantize, model: "\${env:DATA}", quantizer: { method: none } }
  adapter: { stage: initialize, from: base, form: lora, rank: 1, init: { peft: "\${env:NO}" } }
  q: { stage: evaluate, from: base, tasks: [{ task: perplexity, data: { text: x } }] }
  free: { stage: note, text: "\${form}" }
`);
  assert.deepEqual(lines, [
    "own.yaml:1:15: free.text uses the environment variable DATA, which is allowed only where the " +
    "value is a path",
    "own.yaml:4:80: The environment variable NO is not set",
  ]);
});

Deno.test("loadExperiment() reports what the stages find in their combination", async () => {
  const lines = await mistakes(`graph:
  base: { stage: quantize, model: m, quantizer: { method: none } }
  adapter: { stage: initialize, from: base, form: qa-lora, rank: 1 }
grid:
  base.quantizer: [{ method: nf4 }, { method: none }]
`);
  assert.deepEqual(lines, [
    "own.yaml:3:51: adapter.form: qa-lora needs a zero point, which nf4 lacks",
  ]);
});

Deno.test("experimentFromObject() shows a stage the chain that it stands on, for each input", () => {
  const chains: string[] = [];
  const stages = FAKE_STAGES.map((stage) =>
    stage.name !== "evaluate" ? stage : {
      ...stage,
      check: (_: unknown, upstream: readonly { readonly stage: string }[]) => {
        chains.push(upstream.map((node) => node.stage).join(" "));
        return [];
      },
    }
  );
  const { grid: _, table: __, ...single } = parse(EXAMPLE);
  experimentFromObject(single, { ...OPTIONS, stages, folder: "." });
  assert.deepEqual(chains, [
    "quantize",
    "train initialize quantize",
    "merge train initialize quantize",
  ]);
});

Deno.test("loadExperiment() names the option where a setting is wrong", async () => {
  const lines = await mistakes(BASE, ["base.quantizer.bits=5", "base.modl=x", "name=a/b"]);
  assert.deepEqual(lines, [
    '--set name=a/b: name must be text that matches /^[A-Za-z0-9][A-Za-z0-9._-]*$/: found "a/b"',
    "--set base.quantizer.bits=5: base.quantizer.bits must be 2, 3, 4 or 8: found 5",
    '--set base.modl=x: Unknown key "modl" in base; did you mean "model"? Allowed: stage, model, ' +
    "quantizer",
  ]);
});

Deno.test("loadExperiment() reports files that are missing, broken, empty or not YAML", async () => {
  const missing = await mistakes({});
  assert.match(missing.join("\n"), /^Cannot read the experiment file .*: there is no such file$/);
  const broken = await mistakes({ "own.yaml": "extends: b.yaml\nname: x", "b.yaml": "a: [1" });
  assert.match(broken.join("\n"), /^b\.yaml:1:\d+: This is not valid YAML: /);
  assert.deepEqual(await mistakes(""), [
    'own.yaml:1:1: An experiment file must be a map with the key "graph"',
  ]);
  assert.deepEqual(await mistakes("name: x"), [
    'own.yaml:1:1: Missing key "graph": it must be a map',
  ]);
  assert.deepEqual(await mistakes("graph: {}"), [
    "own.yaml:1:1: graph must have at least one node",
  ]);
  assert.deepEqual(await mistakes(`${BASE}exclude: [{ base.quantizer.bis: 3 }]`), [
    'own.yaml:3:13: exclude: "base.quantizer.bis" names no axis and no parameter of a node; did ' +
    'you mean "base.quantizer.bits"?',
  ]);
});

Deno.test("experimentFromObject() names the path of every mistake", () => {
  const object = {
    graph: { base: { stage: "quantize", model: 3, quantizer: { method: "rtn", bits: 5 } } },
    extends: "x.yaml",
  };
  assert.throws(
    () => experimentFromObject(object, { ...OPTIONS, folder: "." }),
    new ConfigurationError([
      { position: null, message: 'Missing key "name": it must name the folder of the results' },
      {
        position: null,
        message: 'Unknown key "extends"; allowed: $schema, name, description, seed, vars, graph, ' +
          "grid, zip, include, exclude, table, scale, scales",
      },
      { position: null, message: "base.model must be text: found 3" },
      { position: null, message: "base.quantizer.bits must be 2, 3, 4 or 8: found 5" },
    ]),
  );
  assert.throws(
    () => experimentFromObject([], { ...OPTIONS, folder: "." }),
    new ConfigurationError([
      { position: null, message: 'An experiment must be an object with the key "graph"' },
    ]),
  );
});
