import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { keyOf, type StageIdentity } from "../graph/manifest.ts";
import { digestSource } from "../graph/source_digest.ts";
import type { Progress, Stage } from "../graph/stage.ts";
import { Store } from "../graph/store.ts";
import type { StageTask } from "./executor.ts";
import { runStage, type StageHost } from "./run_stage.ts";
import { stages } from "./testing/stages.ts";

interface Fixture {
  readonly folder: string;
  readonly store: Store;
  readonly reports: Progress[];
  readonly logs: string[];
  host(parts?: Partial<StageHost>): StageHost;
}

async function withStore(test: (fixture: Fixture) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const reports: Progress[] = [];
  const logs: string[] = [];
  try {
    using store = await Store.open(join(folder, "store"));
    const host = (parts: Partial<StageHost> = {}): StageHost => ({
      stages,
      store,
      device: () => Promise.resolve(new ReferenceDevice()),
      report: (progress) => reports.push(progress),
      log: (line) => logs.push(line),
      remark: (line) => logs.push(line),
      signal: new AbortController().signal,
      ...parts,
    });
    await test({ folder, store, reports, logs, host });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function taskOf(
  stage: string,
  parameters: object,
  folder: string,
  parts: Partial<StageIdentity> = {},
  upstream: StageTask["upstream"] = [],
): StageTask {
  const identity: StageIdentity = {
    stage,
    version: 1,
    parameters,
    sources: {},
    upstream: [],
    seed: null,
    device: null,
    ...parts,
  };
  return {
    key: keyOf(identity),
    id: `${stage} node`,
    identity,
    upstream,
    folder,
    experiment: "test",
    equipoise: { version: "1.2.3", commit: "abc" },
  };
}

/** A stage without parameters that does what a test needs. */
function stageOf(run: Stage["run"]): Stage {
  return {
    name: "special",
    version: 1,
    summary: "",
    parameters: z.unknown(),
    accepts: [],
    produces: "files",
    dependsOn: () => ({ seed: false, device: false }),
    sources: () => [],
    run,
  };
}

async function unfinished(store: Store): Promise<string[]> {
  return await Array.fromAsync(Deno.readDir(join(store.folder, "tmp")), ({ name }) => name);
}

Deno.test("runStage() leaves a result with metrics, facts and provenance", () =>
  withStore(async ({ folder, store, logs, host }) => {
    const task = taskOf("make", { text: "hello", fault: "none" }, folder);
    const manifest = await runStage(task, host());
    assert.deepEqual(await store.verify(task.key), []);
    assert.deepEqual(manifest.metrics, { length: { value: 5 } });
    assert.deepEqual(manifest.facts, { files: 1 });
    assert.equal(manifest.node, "make node");
    assert.equal(manifest.kind, "files");
    assert.deepEqual(manifest.provenance, {
      experiment: "test",
      equipoise: { version: "1.2.3", commit: "abc" },
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch} ${Deno.osRelease()}`,
      device: null,
    });
    assert.ok(manifest.peakMemory.host > 0);
    assert.equal(manifest.peakMemory.device, null);
    assert.deepEqual(logs, ["made hello"]);
  }));

Deno.test("runStage() records the device that a stage used, and its peak memory", () =>
  withStore(async ({ folder, host }) => {
    const special = stageOf(async (context) => {
      const device = await context.device();
      device.tensor("f32", [1000], "left behind");
      return { metrics: { diverged: { value: Infinity, standardError: NaN } } };
    });
    const manifest = await runStage(taskOf("special", {}, folder), host({ stages: [special] }));
    assert.equal(manifest.peakMemory.device, 8000);
    assert.equal(manifest.provenance.device?.name, "reference");
    assert.deepEqual(manifest.metrics, {
      diverged: { value: "Infinity", standardError: "NaN" },
    });
  }));

Deno.test("runStage() hands over input, seed, upstream results and sources", () =>
  withStore(async ({ folder, store, host }) => {
    await Deno.writeTextFile(join(folder, "data.txt"), " world");
    const sha256 = await digestSource("data.txt", folder, store.index);
    const parameters = { text: "hello", source: "data.txt", fault: "none" };
    const base = taskOf("make", parameters, folder, {
      sources: { source: { reference: "data.txt", sha256 } },
    });
    await runStage(base, host());
    const tuned = taskOf("grow", { steps: 2 }, folder, { upstream: [base.key], seed: 7 });
    await runStage(tuned, host());

    const made = (await store.artifact(base.key)).folder;
    assert.equal(await Deno.readTextFile(join(made, "below", "made.txt")), "hello world");
    const grown = (await store.artifact(tuned.key)).folder;
    assert.equal(await Deno.readTextFile(join(grown, "grown.txt")), "7");

    let seen: unknown;
    const special = stageOf(async (context) => {
      const upstream = await context.artifact(base.key);
      seen = [context.input?.key, context.input?.node, upstream.folder];
      return { metrics: {} };
    });
    const task = taskOf("special", {}, folder, { upstream: [tuned.key] });
    await runStage(task, host({ stages: [special] }));
    assert.deepEqual(seen, [tuned.key, "grow node", made]);
  }));

for (
  const [fault, expected] of [
    ["mistake", { name: "UserError", message: "The text is wrong: change it" }],
    ["defect", { name: "TypeError", message: "Undefined is not a function" }],
    ["disk full", {
      name: "UserError",
      message: /^The disk is full: "make node".*EQUIPOISE_STORE/,
    }],
  ] as const
) {
  Deno.test(`a stage that fails (${fault}) leaves nothing half-written`, () =>
    withStore(async ({ folder, store, host }) => {
      const task = taskOf("make", { text: "x", fault }, folder);
      await assert.rejects(runStage(task, host()), expected);
      assert.deepEqual(await store.inspect(task.key), { state: "absent" });
      assert.deepEqual(await unfinished(store), []);
      assert.equal(await store.checkpoint(task.key), null);
    }));
}

Deno.test("an aborted stage keeps its checkpoint, and continues from it", () =>
  withStore(async ({ folder, store, reports, host }) => {
    const gate = join(folder, "gate");
    const task = taskOf("grow", { steps: 3, gate }, folder, { seed: 1 });
    const controller = new AbortController();
    const reason = new Error("interrupted");
    const report = (progress: Progress) => {
      reports.push(progress);
      if (progress.activity === "waiting at the gate") controller.abort(reason);
    };
    await assert.rejects(runStage(task, host({ report, signal: controller.signal })), reason);
    assert.deepEqual(await store.inspect(task.key), { state: "absent" });
    assert.deepEqual(await unfinished(store), []);
    assert.notEqual(await store.checkpoint(task.key), null);

    await Deno.writeTextFile(gate, "");
    const manifest = await runStage(task, host());
    assert.deepEqual(manifest.facts, { resumed: 2 });
    assert.equal(await store.checkpoint(task.key), null);
  }));

Deno.test("of two that want the same result, one makes it and the other gets it", () =>
  withStore(async ({ folder, host }) => {
    let runs = 0;
    const told = Promise.withResolvers<string>();
    const special = stageOf(async () => {
      runs++;
      assert.match(await told.promise, /^waiting for (process \d+ on|another process)/);
      return { metrics: {} };
    });
    const task = taskOf("special", {}, folder);
    const report = ({ activity }: Progress) => told.resolve(activity);
    const both = await Promise.all([
      runStage(task, host({ stages: [special], report })),
      runStage(task, host({ stages: [special], report })),
    ]);
    assert.equal(runs, 1);
    assert.deepEqual(both[0], JSON.parse(JSON.stringify(both[1])));
  }));

Deno.test("runStage() reads what a source was pinned to when it was planned", () =>
  withStore(async ({ folder, store, host }) => {
    await Deno.writeTextFile(join(folder, "commit.txt"), "as planned");
    const sha256 = await digestSource("commit.txt", folder, store.index);
    const reference = "hf:org/name/branch.txt";
    const pinned = { reference, sha256, pinned: "commit.txt" };
    const parameters = { text: "", source: reference, fault: "none" };
    const task = taskOf("make", parameters, folder, { sources: { source: pinned } });
    const { key, sources } = await runStage(task, host());
    assert.deepEqual(sources, { source: pinned });
    const { folder: result } = await store.artifact(key);
    assert.equal(await Deno.readTextFile(join(result, "below", "made.txt")), "as planned");
  }));

Deno.test("a source of a stage upstream that was read and changes fails it, too", () =>
  withStore(async ({ folder, store, host }) => {
    const path = join(folder, "model.txt");
    const sources = async () => ({
      model: { reference: path, sha256: await digestSource(path, folder, store.index) },
    });
    const change = (reads: boolean) =>
      stageOf(async (context) => {
        assert.deepEqual(context.upstream.map(({ node }) => node), ["base"]);
        if (reads) assert.deepEqual(await context.resolve({ reference: path, path: "" }), [path]);
        await Deno.writeTextFile(path, `after ${reads}`);
        return { metrics: {} };
      });
    for (const reads of [false, true]) {
      await Deno.writeTextFile(path, "before");
      const base = { stage: "make", parameters: {}, key: "0", node: "base" };
      const task = taskOf("special", { reads }, folder, {}, [{
        ...base,
        sources: await sources(),
      }]);
      const run = runStage(task, host({ stages: [change(reads)] }));
      if (!reads) await run;
      else {
        await assert.rejects(run, {
          name: "UserError",
          message: /model\.txt" \(base\.model\) changed while the stage ran/,
        });
      }
    }
  }));

Deno.test("a source that changes while the stage runs fails it", () =>
  withStore(async ({ folder, store, host }) => {
    const path = join(folder, "data.txt");
    await Deno.writeTextFile(path, "before");
    const sha256 = await digestSource(path, folder, store.index);
    const special = stageOf(async () => {
      await Deno.writeTextFile(path, "after");
      return { metrics: {} };
    });
    const task = taskOf("special", { data: path }, folder, {
      sources: { data: { reference: path, sha256 } },
    });
    await assert.rejects(runStage(task, host({ stages: [special] })), {
      name: "UserError",
      message: /data\.txt" \(special node\.data\) changed while the stage ran/,
    });
    assert.deepEqual(await store.inspect(task.key), { state: "absent" });
  }));
