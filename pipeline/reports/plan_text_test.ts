import assert from "node:assert/strict";
import type { Cell } from "../graph/experiment.ts";
import type { Decision, Plan, PlannedStage } from "../graph/plan.ts";
import { planRecords, planText, stageLabels } from "./plan_text.ts";

const RUNS: Decision = { action: "runs", reason: "not in the store" };

function stage(id: string, kind: string, cells: number[], decision: Decision): PlannedStage {
  const key = `${id}-${cells}`;
  const identity = {
    stage: kind,
    version: 1,
    parameters: {},
    sources: {},
    upstream: [],
    seed: null,
    device: null,
  };
  return { key, id, identity, cells, decision };
}

/** Two ranks and two seeds; "base" is shared, "tuned" depends on both, "probe" on the rank alone. */
const PLAN: Plan = {
  experiment: {
    name: "demo",
    file: null,
    folder: "",
    cells: [],
    axes: ["tuned.rank", "seed"],
    table: null,
    document: {},
    position: () => null,
  },
  cells: [[4, 1], [4, 2], [16, 1], [16, 2]].map(([rank, seed], index) => ({
    cell: { index, values: { "tuned.rank": rank, seed }, seed, nodes: [] } as unknown as Cell,
    keys: new Map(),
  })),
  stages: [
    stage("base", "quantize", [0, 1, 2, 3], {
      action: "cached",
      created: new Date(2026, 10, 21, 14, 3).toISOString(),
      bytes: 3_100_000,
    }),
    stage("tuned", "train", [0], { action: "resumes", reason: "checkpoint at step 40" }),
    stage("tuned", "train", [1], RUNS),
    stage("tuned", "train", [2], RUNS),
    stage("tuned", "train", [3], RUNS),
    stage("probe", "train", [0, 1], RUNS),
    stage("probe", "train", [2, 3], RUNS),
  ],
  device: null,
};

Deno.test("planText() lists every stage with decision and cells, and counts them by kind", () => {
  assert.equal(
    planText(PLAN),
    `demo: 4 cells, 7 stages: 1 cached, 1 to resume, 5 to run

base                     quantize  cached: 2026-11-21 14:03, 3.1 MB  shared by cells 0-3
tuned (rank 4, seed 1)   train     resumes: checkpoint at step 40    cell 0
tuned (rank 4, seed 2)   train     runs: not in the store            cell 1
tuned (rank 16, seed 1)  train     runs: not in the store            cell 2
tuned (rank 16, seed 2)  train     runs: not in the store            cell 3
probe (rank 4)           train     runs: not in the store            shared by cells 0-1
probe (rank 16)          train     runs: not in the store            shared by cells 2-3

quantize  1: 1 cached
train     6: 1 to resume, 5 to run
`,
  );
});

Deno.test("planText() says what computes, and why", () => {
  const device = {
    name: "cpu",
    class: "cpu; wasm",
    description: "WebAssembly SIMD, 2 threads",
    reason: "this machine has no GPU",
  };
  assert.equal(
    planText({ ...PLAN, device }).split("\n")[1],
    "device: cpu (WebAssembly SIMD, 2 threads), because this machine has no GPU",
  );
});

Deno.test("stageLabels() name only the axes that tell stages apart", () => {
  const labels = stageLabels(PLAN);
  assert.equal(labels.get("base-0,1,2,3"), "base");
  assert.equal(labels.get("probe-2,3"), "probe (rank 16)");
});

Deno.test("planRecords() are plain JSON", () => {
  const records = planRecords(PLAN);
  assert.deepEqual(JSON.parse(JSON.stringify(records)), records);
  assert.deepEqual(records[1], {
    key: "tuned-0",
    node: "tuned",
    stage: "train",
    cells: [0],
    upstream: [],
    decision: { action: "resumes", reason: "checkpoint at step 40" },
  });
});

Deno.test("stageLabels() say nothing of an axis that a cell leaves alone", () => {
  const cells = PLAN.cells.map(({ cell, keys }, index) => ({
    cell: index === 0 ? { ...cell, values: { seed: 1 } } : cell,
    keys,
  }));
  assert.equal(stageLabels({ ...PLAN, cells }).get("tuned-0"), "tuned (seed 1)");
});
