import assert from "node:assert/strict";
import { ConfigurationError, type Experiment } from "./experiment.ts";
import { experimentFromObject } from "./load.ts";
import type { Stage } from "./stage.ts";
import { FAKE_STAGES } from "./testing/experiment_files.ts";

const chains: string[] = [];

/** The fakes, with a `merge` that also runs without `from` and says what it was checked against. */
const stages = FAKE_STAGES.map((stage): Stage =>
  stage.name !== "merge" ? stage : {
    ...stage,
    accepts: ["model"],
    fromIsOptional: true,
    check: (_, upstream) => {
      chains.push(upstream.map((node) => node.stage).join(" "));
      return [];
    },
  }
);

function load(graph: object): Experiment {
  chains.length = 0;
  return experimentFromObject({ name: "test", graph }, { stages, folder: "." });
}

function mistakes(graph: object): string[] {
  try {
    load(graph);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message.split("\n");
    throw error;
  }
  return [];
}

const BASE = { stage: "quantize", model: "m", quantizer: { method: "none" } };

Deno.test("an optional from may be left out, and check() then sees no stage above", () => {
  const { cells } = load({ alone: { stage: "merge" } });
  assert.deepEqual(cells[0]?.nodes.map(({ name, from }) => [name, ...from]), [["alone"]]);
  assert.deepEqual(chains, [""]);
});

Deno.test("an optional from that is given is read, and check() sees the stages above", () => {
  const { cells } = load({ fed: { stage: "merge", from: "base" }, base: BASE });
  assert.deepEqual(cells[0]?.nodes.map(({ name, from }) => [name, ...from]), [
    ["base"],
    ["fed", "base"],
  ]);
  assert.deepEqual(chains, ["quantize"]);
});

Deno.test("an optional from that is given must be the name of one node that makes the right kind", () => {
  const adapter = { stage: "initialize", from: "base", form: "lora", rank: 1 };
  assert.deepEqual(mistakes({ base: BASE, adapter, fed: { stage: "merge", from: "adapter" } }), [
    "fed.from must name a node that makes a model: adapter makes an adapter; nodes that do: base",
  ]);
  assert.deepEqual(mistakes({ base: BASE, fed: { stage: "merge", from: "bas" } }), [
    'fed.from names no node of the graph: found "bas"; did you mean "base"?',
  ]);
  assert.deepEqual(mistakes({ base: BASE, fed: { stage: "merge", from: ["base"] } }), [
    "fed.from must be the name of one node: the stage merge takes no list",
  ]);
});

Deno.test("without fromIsOptional, from is required", () => {
  const strict = stages.map((stage): Stage => ({ ...stage, fromIsOptional: false }));
  assert.throws(
    () =>
      experimentFromObject({ name: "test", graph: { alone: { stage: "merge" } } }, {
        stages: strict,
        folder: ".",
      }),
    { message: 'Missing key "from" in alone: it must name the model to read' },
  );
});
