import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StageEvent } from "./executors/executor.ts";
import { planExperiment, runExperiment, type RunOptions } from "./experiment.ts";
import { readResults, type Results } from "./graph/results.ts";
import { Store } from "./graph/store.ts";
import { tableOf } from "./run_table.ts";

const STAGES = new URL("./executors/testing/stages.ts", import.meta.url).href;

const EXPERIMENT = `name: demo
seed: 1
graph:
  base: { stage: make, text: hello, source: data.txt }
  tuned: { stage: grow, from: base, steps: 5 }
  quality: { stage: measure, from: [base, tuned] }
grid:
  tuned.steps: [5, 7]
  seed: [1, 2]
table:
  rows: tuned.steps
  columns: []
  value: [quality.tuned.perplexity, tuned.steps]
  over: seed
`;

interface Fixture {
  readonly folder: string;
  /** Ids of the stages that started in the latest run. */
  started(): string[];
  write(name: string, text: string): Promise<string>;
  run(file: string, options?: RunOptions): Promise<Results>;
}

async function inFolder(test: (fixture: Fixture) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  let started: string[] = [];
  try {
    await Deno.writeTextFile(join(folder, "data.txt"), " world");
    await test({
      folder,
      started: () => started.toSorted(),
      write: async (name, text) => {
        await Deno.writeTextFile(join(folder, name), text);
        return join(folder, name);
      },
      run: async (file, options = {}) => {
        started = [];
        const ids = new Map<string, string>();
        return await runExperiment(file, {
          stages: STAGES,
          out: join(folder, "runs"),
          ...options,
          onPlan: (plan, runFolder) => {
            for (const { key, id } of plan.stages) ids.set(key, id);
            options.onPlan?.(plan, runFolder);
          },
          onEvent: (event) => {
            if (event.kind === "started") started.push(ids.get(event.key) ?? "");
            options.onEvent?.(event);
          },
        });
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function actions(file: string, folder: string): Promise<Record<string, number>> {
  const plan = await planExperiment(file, { stages: STAGES, out: join(folder, "runs") });
  const counts: Record<string, number> = {};
  for (const { decision } of plan.stages) {
    counts[decision.action] = (counts[decision.action] ?? 0) + 1;
  }
  return counts;
}

Deno.test("an experiment runs each shared stage once, and nothing the second time", () =>
  inFolder(async ({ folder, started, write, run }) => {
    const file = await write("demo.yaml", EXPERIMENT);
    assert.deepEqual(await actions(file, folder), { runs: 10 });
    const results = await run(file, { jobs: 2 });
    assert.deepEqual(started(), [
      "base",
      "quality.base",
      ...Array(4).fill("quality.tuned"),
      ...Array(4).fill("tuned"),
    ]);
    assert.equal(results.status, "done");
    assert.deepEqual(await actions(file, folder), { cached: 10 });

    const again = await run(file);
    assert.deepEqual(started(), []);
    assert.deepEqual(again.cells, results.cells);
  }));

Deno.test("results.json has the documented form", () =>
  inFolder(async ({ folder, write, run }) => {
    const file = await write("demo.yaml", EXPERIMENT);
    const results = await run(file, { command: "the command" });
    const path = join(folder, "runs", "demo", "results.json");
    const text = await Deno.readTextFile(path);
    assert.deepEqual(readResults(path), results);

    const json = JSON.parse(text);
    assert.deepEqual(Object.keys(json), [
      ...["format", "version", "name", "status", "axes", "cells", "stages", "table", "provenance"],
    ]);
    const { stages, seconds, peakMemory, ...row } = json.cells[3];
    assert.deepEqual(row, {
      index: 3,
      values: { "tuned.steps": 7, seed: 2 },
      seed: 2,
      status: "done",
      error: null,
      metrics: {
        "base.length": { value: 5 },
        "tuned.steps": { value: 7 },
        "quality.base.perplexity": { value: 1, standardError: 0.1, protocol: "files" },
        "quality.tuned.perplexity": { value: 1, standardError: 0.1, protocol: "files" },
      },
      nodes: {
        base: {
          stage: "make",
          parameters: { text: "hello", source: join(folder, "data.txt"), fault: "none" },
        },
        tuned: { stage: "grow", parameters: { steps: 7 } },
        quality: { stage: "measure", parameters: { offset: 0 } },
      },
    });
    assert.ok(seconds >= 0 && peakMemory.host > 0 && peakMemory.device === null);
    assert.deepEqual(Object.keys(stages), ["base", "tuned", "quality.base", "quality.tuned"]);
    for (const [id, key] of Object.entries(stages)) {
      const stage = json.stages[key as string];
      assert.equal(stage.node, id);
      assert.deepEqual([stage.status, stage.error], ["done", null]);
      assert.match(stage.result.created, /^\d{4}-\d\d-\d\dT/);
    }
    assert.deepEqual(json.stages[stages.base].result.facts, { files: 2 });
    const { provenance } = json;
    assert.equal(provenance.command, "the command");
    assert.equal(provenance.deno, Deno.version.deno);
    assert.deepEqual(provenance.data, [{
      reference: join(folder, "data.txt"),
      // printf ' world' | sha256sum
      sha256: "045f13dd864bafaad0dd977ac971de549b090cb2836f061d0779b26dd9bb8f4b",
    }]);
  }));

Deno.test("a run leaves the experiment, the plan, logs and tables beside its results", () =>
  inFolder(async ({ folder, write, run }) => {
    const file = await write("demo.yaml", EXPERIMENT);
    const { cells } = await run(file, { set: ["base.text=bye"] });
    const at = (...names: string[]) => join(folder, "runs", "demo", ...names);
    assert.match(await Deno.readTextFile(at("experiment.yaml")), /text: bye/);
    assert.equal(JSON.parse(await Deno.readTextFile(at("plan.json"))).stages.length, 10);
    const key = cells[0]?.stages["base"]?.slice(0, 8);
    assert.match(await Deno.readTextFile(at("logs", `base-${key}.log`)), /\nmade bye\n/);
    assert.equal(
      await Deno.readTextFile(at("table.md")),
      `| steps | perplexity | steps |
| :--- | ---: | ---: |
| 5 | 1 ± 0 | 5 ± 0 |
| 7 | 1 ± 0 | 7 ± 0 |

Mean ± standard deviation over seed.
`,
    );
    for (const target of [at(), at("results.json"), "demo"]) {
      assert.equal((await tableOf(target, join(folder, "runs"))).rows.length, 2);
    }
    await assert.rejects(tableOf("other.yaml", join(folder, "runs")), {
      name: "ConfigurationError",
      message: /no file "other\.yaml"/,
    });
  }));

Deno.test("a failing stage fails its cells, with the reason, and no others", () =>
  inFolder(async ({ folder, started, write, run }) => {
    const file = await write(
      "demo.yaml",
      EXPERIMENT.replace("seed: [1, 2]", "base.fault: [none, mistake]")
        .replace("over: seed", "over: base.fault"),
    );
    const results = await run(file);
    assert.equal(results.status, "failed");
    assert.deepEqual(results.cells.map(({ status, error }) => [status, error]), [
      ["done", null],
      ["failed", "base: The text is wrong: change it"],
      ["done", null],
      ["failed", "base: The text is wrong: change it"],
    ]);
    assert.deepEqual(started().filter((id) => id === "tuned").length, 2);
    const skipped = Object.values(results.stages).filter(({ status }) => status === "skipped");
    assert.deepEqual(
      new Set(skipped.map(({ error }) => error)),
      new Set(['"base", which it reads, failed', '"tuned", which it reads, was skipped']),
    );
    const table = await tableOf("demo", join(folder, "runs"));
    assert.match(table.notes.at(-1) ?? "", /cell 1 failed \(base: The text is wrong/);

    await run(file, { set: ["grid.base.fault=[none]"] });
    assert.deepEqual(started(), [], "what was done stays done");
  }));

Deno.test("an interrupted run is resumed by the same call", () =>
  inFolder(async ({ folder, write, run }) => {
    const gate = join(folder, "gate");
    const file = await write(
      "one.yaml",
      `graph:
  base: { stage: make }
  tuned: { stage: grow, from: base, steps: 3, gate: ${gate} }
`,
    );
    const interrupt = new AbortController();
    const waits = (event: StageEvent) =>
      event.kind === "progress" && event.progress.activity === "waiting at the gate";
    const results = await run(file, {
      interrupt: interrupt.signal,
      onEvent: (event) => waits(event) && interrupt.abort(),
    });
    assert.equal(results.status, "interrupted");
    assert.deepEqual(results.cells.map(({ status }) => status), ["cancelled"]);
    assert.deepEqual(await actions(file, folder), { cached: 1, resumes: 1 });

    await write("gate", "");
    const resumed = await run(file);
    assert.equal(resumed.status, "done");
    const tuned = Object.values(resumed.stages).find(({ node }) => node === "tuned");
    assert.deepEqual(tuned?.result?.facts, { resumed: 2 });
  }));

Deno.test("a run whose process was killed is resumed by the same call", () =>
  inFolder(async ({ folder, write, run }) => {
    const file = await write(
      "one.yaml",
      `graph:
  base: { stage: make }
  tuned: { stage: grow, from: base, steps: 3, gate: ${join(folder, "gate")} }
`,
    );
    const { success, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        "--allow-sys",
        "--allow-run",
        fileURLToPath(new URL("./executors/testing/killed_run.ts", import.meta.url)),
        ...[file, join(folder, "runs")],
      ],
      stdin: "null",
    }).output();
    assert.equal(success, false);
    assert.equal(new TextDecoder().decode(stderr), "", "it was killed where it should be");
    const out = join(folder, "runs");
    const { stages } = await planExperiment(file, { stages: STAGES, out });
    {
      // The worker notices that its parent is gone, saves its checkpoint and lets go of the lock.
      using store = await Store.open(join(out, ".store"));
      using _ = await store.lock(stages.find(({ id }) => id === "tuned")?.key ?? "");
    }
    await write("gate", "");
    const results = await run(file);
    assert.equal(results.status, "done");
    const tuned = Object.values(results.stages).find(({ node }) => node === "tuned");
    assert.deepEqual(tuned?.result?.facts, { resumed: 2 });
  }));

Deno.test("two runs at the same time share the work and end with the same rows", () =>
  inFolder(async ({ folder, write, run }) => {
    const file = await write("demo.yaml", EXPERIMENT);
    const [one, other] = await Promise.all([run(file, { jobs: 2 }), run(file, { jobs: 2 })]);
    assert.deepEqual([one.status, other.status], ["done", "done"]);
    assert.deepEqual(one.cells, other.cells);
    using store = await Store.open(join(folder, "runs", ".store"));
    for (const key of Object.keys(one.stages)) assert.deepEqual(await store.verify(key), []);
  }));

Deno.test("a table that would mix cells is refused before anything runs", () =>
  inFolder(async ({ folder, started, write, run }) => {
    const file = await write("demo.yaml", EXPERIMENT.replace("over: seed", "over: []"));
    await assert.rejects(run(file), {
      name: "ConfigurationError",
      message: /demo\.yaml:\d+:\d+: Cells 0 and 1 .* differ in seed/,
    });
    assert.deepEqual(started(), []);
    await assert.rejects(Deno.stat(join(folder, "runs")), Deno.errors.NotFound);
  }));

Deno.test("a misspelt file name is answered with the nearest that ships", async () => {
  await assert.rejects(planExperiment("quikstart.yaml", { stages: STAGES }), {
    name: "ConfigurationError",
    message: /no file "quikstart\.yaml".*did you mean "quickstart\.yaml"/,
  });
});
