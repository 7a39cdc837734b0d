import assert from "node:assert/strict";
import { join } from "node:path";
import { stages } from "../executors/testing/stages.ts";
import { ConfigurationError, type Experiment } from "./experiment.ts";
import { experimentFromObject, loadExperiment } from "./load.ts";
import type { Manifest } from "./manifest.ts";
import { makePlan, type Plan, type PlanContext } from "./plan.ts";
import type { Stage } from "./stage.ts";
import { Store } from "./store.ts";

const GRAPH = {
  base: { stage: "make", text: "hello" },
  tuned: { stage: "grow", from: "base", steps: 5 },
  quality: { stage: "measure", from: ["base", "tuned"] },
};

function experiment(parts: object = {}, folder = "."): Experiment {
  return experimentFromObject({ name: "test", graph: GRAPH, ...parts }, { stages, folder });
}

async function withStore(test: (context: PlanContext, folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    using store = await Store.open(join(folder, "store"));
    const device = () => Promise.reject(new Error("no stage depends on the device"));
    await test({ stages, store, device }, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts an empty result of a planned stage into the store, as a run would. */
async function complete(plan: Plan, id: string, store: Store): Promise<void> {
  const stage = plan.stages.find((planned) => planned.id === id);
  assert.ok(stage);
  const workspace = await store.begin(stage.key);
  await Deno.writeTextFile(join(workspace.folder, "file"), "12345");
  await store.commit(workspace, {
    format: "equipoise/artifact",
    key: stage.key,
    kind: "files",
    node: id,
    ...stage.identity,
    created: "2026-11-21T14:03:00.000Z",
  } as Manifest);
}

function decisions(plan: Plan): Record<string, string> {
  return Object.fromEntries(plan.stages.map(({ id, decision }) => [
    id,
    decision.action === "cached"
      ? `cached: ${decision.created}, ${decision.bytes}`
      : `${decision.action}: ${decision.reason}`,
  ]));
}

Deno.test("makePlan() has each stage of a shared prefix once", () =>
  withStore(async (context) => {
    const grid = { "tuned.steps": [5, 7], seed: [1, 2] };
    const plan = await makePlan(experiment({ grid }), context);
    const cellsOf = (id: string) =>
      plan.stages.filter((stage) => stage.id === id).map(({ cells }) => cells);
    assert.deepEqual(cellsOf("base"), [[0, 1, 2, 3]]);
    assert.deepEqual(cellsOf("quality.base"), [[0, 1, 2, 3]]);
    assert.deepEqual(cellsOf("tuned"), [[0], [1], [2], [3]]);
    assert.deepEqual(cellsOf("quality.tuned"), [[0], [1], [2], [3]]);
    assert.equal(plan.stages.length, 10);
    for (const { keys } of plan.cells) {
      assert.deepEqual([...keys.keys()], ["base", "tuned", "quality.base", "quality.tuned"]);
    }
  }));

Deno.test("makePlan() puts every stage behind those it reads", () =>
  withStore(async (context) => {
    const plan = await makePlan(experiment({ grid: { "base.text": ["a", "b"] } }), context);
    const seen = new Set<string>();
    for (const { key, identity } of plan.stages) {
      assert.ok(identity.upstream.every((input) => seen.has(input)));
      seen.add(key);
    }
  }));

Deno.test("a key depends on parameters, version, upstream and, where it counts, the seed", () =>
  withStore(async (context) => {
    const keys = async (parts: object, known = stages) => {
      const plan = await makePlan(experiment(parts), { ...context, stages: known });
      return plan.cells[0]?.keys ?? new Map();
    };
    const plain = await keys({});
    const same = (other: ReadonlyMap<string, string>) =>
      [...plain].filter(([id, key]) => other.get(id) === key).map(([id]) => id);
    assert.deepEqual(same(await keys({ name: "renamed" })), [...plain.keys()]);
    assert.deepEqual(same(await keys({ seed: 9 })), ["base", "quality.base"]);
    assert.deepEqual(same(await keys({ graph: { ...GRAPH, base: { stage: "make" } } })), []);
    const newer = stages.map((stage): Stage =>
      stage.name === "measure" ? { ...stage, version: 2 } : stage
    );
    assert.deepEqual(same(await keys({}, newer)), ["base", "tuned"]);
  }));

Deno.test("incidental parameters stay out of the key and of the reasons", () =>
  withStore(async (context) => {
    const known = stages.map((stage): Stage =>
      stage.name === "make" ? { ...stage, incidental: ["text"] } : stage
    );
    const planOf = async (text: string, all: readonly Stage[]) => {
      const graph = { base: { stage: "make", text } };
      const loaded = experimentFromObject({ name: "test", graph }, { stages: all, folder: "." });
      return (await makePlan(loaded, { ...context, stages: all })).stages[0];
    };
    const [first, second] = [await planOf("hello", known), await planOf("bye", known)];
    assert.equal(first?.key, second?.key);
    // The stage still runs with what was written.
    assert.equal((second?.identity.parameters as { text: string }).text, "bye");
    assert.notEqual((await planOf("hello", stages))?.key, (await planOf("bye", stages))?.key);
  }));

Deno.test("the key of a stage with an optional from contains the upstream key only where it is given", () =>
  withStore(async (context) => {
    const known = stages.map((stage): Stage =>
      stage.name === "grow" ? { ...stage, fromIsOptional: true } : stage
    );
    const grown = async (graph: object) => {
      const loaded = experimentFromObject({ name: "test", graph }, { stages: known, folder: "." });
      const plan = await makePlan(loaded, { ...context, stages: known });
      const keyOf = (id: string) => plan.cells[0]?.keys.get(id);
      const upstream = plan.stages.find(({ id }) => id === "tuned")?.identity.upstream;
      return { base: keyOf("base"), tuned: keyOf("tuned"), upstream };
    };
    const base = (text: string) => ({ stage: "make", text });
    const alone = await grown({ base: base("hello"), tuned: { stage: "grow" } });
    const fed = await grown({ base: base("hello"), tuned: { stage: "grow", from: "base" } });
    const other = await grown({ base: base("bye"), tuned: { stage: "grow", from: "base" } });
    assert.deepEqual(alone.upstream, []);
    assert.deepEqual(fed.upstream, [fed.base]);
    assert.deepEqual(other.upstream, [other.base]);
    assert.equal(new Set([alone.tuned, fed.tuned, other.tuned]).size, 3);
  }));

Deno.test("the device class enters the keys of stages that depend on it, and of what reads them", () =>
  withStore(async (context) => {
    const dependent = stages.map((stage): Stage =>
      stage.name === "grow" ? { ...stage, dependsOn: () => ({ seed: true, device: true }) } : stage
    );
    const keysOn = async (deviceClass: string) => {
      const grid = { "tuned.steps": [5] };
      const planned = { name: "test", class: deviceClass, description: "", reason: "it is a test" };
      const device = () => Promise.resolve(planned);
      const plan = await makePlan(experiment({ grid }), { ...context, stages: dependent, device });
      assert.deepEqual(plan.device, planned);
      return plan.cells[0]?.keys;
    };
    const [one, other] = [await keysOn("a"), await keysOn("b")];
    assert.equal(one?.get("base"), other?.get("base"));
    assert.notEqual(one?.get("tuned"), other?.get("tuned"));
    assert.notEqual(one?.get("quality.tuned"), other?.get("quality.tuned"));
  }));

Deno.test("a source counts by its content, not by its name", () =>
  withStore(async (context, folder) => {
    await Deno.writeTextFile(join(folder, "a.txt"), "one");
    await Deno.writeTextFile(join(folder, "b.txt"), "one");
    const keyOf = async (source: string) => {
      const graph = { base: { stage: "make", source } };
      const plan = await makePlan(experiment({ graph }, folder), context);
      return plan.stages[0]?.key;
    };
    const key = await keyOf("a.txt");
    assert.equal(await keyOf("b.txt"), key);
    await Deno.writeTextFile(join(folder, "a.txt"), "two");
    assert.notEqual(await keyOf("a.txt"), key);
  }));

Deno.test("makePlan() reports all missing sources with their positions", () =>
  withStore(async (context, folder) => {
    const file = join(folder, "test.yaml");
    await Deno.writeTextFile(
      file,
      `graph:
  one: { stage: make, source: none.txt }
  two: { stage: make, source: "*.csv" }
  more: { stage: grow, from: two }
grid:
  seed: [1, 2]
`,
    );
    const loaded = await loadExperiment(file, { stages });
    await assert.rejects(makePlan(loaded, context), (error) => {
      assert.ok(error instanceof ConfigurationError);
      const lines = error.message.split("\n");
      assert.equal(lines.length, 2);
      assert.ok(lines[0]?.startsWith(`${file}:2:31: There is no file or folder`), lines[0]);
      assert.ok(lines[1]?.startsWith(`${file}:3:31: The pattern`), lines[1]);
      return true;
    });
  }));

Deno.test("makePlan() reports a parameter that JSON cannot hold", () =>
  withStore(async (context) => {
    const graph = { base: { stage: "make" } };
    const infinite = stages.map((stage): Stage =>
      stage.name === "make" ? { ...stage, sources: () => [] } : stage
    );
    const loaded = experiment({ graph });
    const cells = loaded.cells.map((cell) => ({
      ...cell,
      nodes: cell.nodes.map((node) => ({ ...node, parameters: { text: Infinity } })),
    }));
    await assert.rejects(makePlan({ ...loaded, cells }, { ...context, stages: infinite }), {
      name: "ConfigurationError",
      message: /"base".*Infinity is not allowed/,
    });
  }));

Deno.test("decisions say what is cached, what changed and what follows from it", () =>
  withStore(async (context) => {
    const { store } = context;
    const first = await makePlan(experiment(), context);
    assert.deepEqual(decisions(first), {
      base: "runs: not in the store",
      tuned: "runs: not in the store",
      "quality.base": "runs: not in the store",
      "quality.tuned": "runs: not in the store",
    });
    for (const { id } of first.stages) await complete(first, id, store);

    const cached = "cached: 2026-11-21T14:03:00.000Z, 5";
    const changed = { ...GRAPH, tuned: { ...GRAPH.tuned, steps: 9 } };
    assert.deepEqual(decisions(await makePlan(experiment({ graph: changed }), context)), {
      base: cached,
      tuned: "runs: steps changed from 5 to 9",
      "quality.base": cached,
      "quality.tuned": "runs: upstream tuned changed",
    });
    const rebased = { ...GRAPH, base: { stage: "make", text: "bye" } };
    const plan = await makePlan(experiment({ graph: rebased, seed: 3 }), context);
    assert.deepEqual(decisions(plan), {
      base: "runs: text changed from hello to bye",
      tuned: "runs: seed changed from 0 to 3, upstream base changed",
      "quality.base": "runs: upstream base changed",
      "quality.tuned": "runs: upstream tuned changed",
    });
  }));

Deno.test("a new cell of a grid is new, not a change of its neighbours", () =>
  withStore(async (context) => {
    const first = await makePlan(experiment(), context);
    for (const { id } of first.stages) await complete(first, id, context.store);
    const grid = { "tuned.steps": [5, 7] };
    const plan = await makePlan(experiment({ grid }), context);
    const tuned = plan.stages.filter(({ id }) => id === "tuned").map(({ decision }) => decision);
    assert.equal(tuned[0]?.action, "cached");
    assert.deepEqual(tuned[1], { action: "runs", reason: "not in the store" });
  }));

Deno.test("decisions tell changed content, damage and checkpoints", () =>
  withStore(async (context, folder) => {
    await Deno.writeTextFile(join(folder, "a.txt"), "one");
    const graph = { base: { stage: "make", source: "a.txt" } };
    const plan = () => makePlan(experiment({ graph }, folder), context);
    const first = await plan();
    await complete(first, "base", context.store);
    const { folder: result } = await context.store.artifact(first.stages[0]?.key ?? "");
    await Deno.remove(join(result, "file"));
    assert.deepEqual(decisions(await plan()), {
      base: "runs: the stored result is damaged: file is missing",
    });

    await Deno.writeTextFile(join(folder, "a.txt"), "two");
    const source = join(folder, "a.txt");
    const changed = await plan();
    assert.deepEqual(decisions(changed), {
      base: `runs: the content of source (${source}) changed`,
    });

    const workspace = await context.store.begin(changed.stages[0]?.key ?? "");
    await Deno.writeTextFile(join(workspace.checkpoint, "state"), "");
    assert.deepEqual(decisions(await plan()), {
      base: "resumes: checkpoint of an interrupted run",
    });
  }));
