import assert from "node:assert/strict";
import { join } from "node:path";
import { keyOf, type StageIdentity } from "../graph/manifest.ts";
import { Store } from "../graph/store.ts";
import type { StageEvent, StageTask } from "./executor.ts";
import { LocalExecutor } from "./local.ts";

const STAGES = new URL("./testing/stages.ts", import.meta.url).href;

async function withExecutor(
  jobs: number,
  test: (executor: LocalExecutor, store: Store, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    using store = await Store.open(join(folder, "store"));
    await using executor = new LocalExecutor({
      jobs,
      store: store.folder,
      device: "reference",
      threads: 1,
      stages: STAGES,
    });
    await test(executor, store, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function taskOf(stage: string, parameters: object): StageTask {
  const identity: StageIdentity = {
    stage,
    version: 1,
    parameters,
    sources: {},
    upstream: [],
    seed: null,
    device: null,
  };
  const equipoise = { version: "0", commit: null };
  const parts = { id: stage, identity, upstream: [], folder: ".", experiment: "test" };
  return { key: keyOf(identity), ...parts, equipoise };
}

/** Events up to and including the first that `wanted` accepts. */
async function eventsUntil(
  executor: LocalExecutor,
  wanted: (event: StageEvent) => boolean,
): Promise<StageEvent[]> {
  const events: StageEvent[] = [];
  while (!events.some(wanted)) events.push(...await executor.poll());
  return events;
}

const ended = ({ kind }: StageEvent) =>
  kind === "done" || kind === "failed" || kind === "cancelled";

Deno.test("a worker runs stages one after another and passes on what they log", () =>
  withExecutor(1, async (executor, store) => {
    const [one, two] = [taskOf("make", { text: "1" }), taskOf("make", { text: "2" })];
    await executor.submit(one);
    await executor.submit(two);
    const events = await eventsUntil(executor, (event) => ended(event) && event.key === two.key);
    assert.deepEqual(events, [
      { kind: "started", key: one.key },
      { kind: "log", key: one.key, line: "made 1" },
      { kind: "done", key: one.key },
      { kind: "started", key: two.key },
      { kind: "log", key: two.key, line: "made 2" },
      { kind: "done", key: two.key },
    ]);
    assert.equal((await store.inspect(two.key)).state, "complete");
  }));

Deno.test("failures come with a trace only if they are defects", () =>
  withExecutor(1, async (executor) => {
    await executor.submit(taskOf("make", { text: "", fault: "mistake" }));
    const mistake = (await eventsUntil(executor, ended)).find(ended);
    assert.ok(mistake?.kind === "failed");
    assert.deepEqual([mistake.message, mistake.trace], ["The text is wrong: change it", null]);

    await executor.submit(taskOf("make", { text: "", fault: "defect" }));
    const defect = (await eventsUntil(executor, ended)).find(ended);
    assert.ok(defect?.kind === "failed");
    assert.equal(defect.message, "Undefined is not a function");
    assert.match(defect.trace ?? "", /stages\.ts/);
  }));

Deno.test("a worker that dies fails its stage alone, quotes its last words and is replaced", () =>
  withExecutor(1, async (executor) => {
    const crash = taskOf("make", { text: "", fault: "crash" });
    const next = taskOf("make", { text: "next" });
    await executor.submit(crash);
    await executor.submit(next);
    const events = await eventsUntil(executor, (event) => ended(event) && event.key === next.key);
    const failed = events.find(({ kind }) => kind === "failed");
    assert.ok(failed?.kind === "failed");
    assert.equal(failed.key, crash.key);
    assert.equal(
      failed.message,
      'The worker process was ended with exit code 139 while it ran "make" ' +
        "(it said: driver: segmentation fault): run the same command again; " +
        "if it is ended again, use a smaller batch or update the driver",
    );
    assert.equal(events.at(-1)?.kind, "done");
  }));

Deno.test("two jobs run at the same time; a gentle cancel keeps checkpoints", () =>
  withExecutor(2, async (executor, store, folder) => {
    const tasks = ["a", "b", "c"].map((name) =>
      taskOf("grow", { steps: 3, gate: join(folder, name) })
    );
    for (const task of tasks) await executor.submit(task);
    // Both wait at their gates, which only stages that run at the same time can do.
    const waiting = new Set<string>();
    while (waiting.size < 2) {
      for (const { kind, key } of await executor.poll()) if (kind === "started") waiting.add(key);
    }
    await executor.cancel(false);
    const ends = new Map<string, string>();
    while (ends.size < 3) {
      for (const event of await executor.poll()) if (ended(event)) ends.set(event.key, event.kind);
    }
    assert.deepEqual([...ends.values()], ["cancelled", "cancelled", "cancelled"]);
    for (const { key } of tasks) assert.equal((await store.inspect(key)).state, "absent");
  }));

Deno.test("a forced cancel kills the worker, and the executor still works", () =>
  withExecutor(1, async (executor, store, folder) => {
    const gate = join(folder, "gate");
    const task = taskOf("grow", { steps: 3, gate });
    await executor.submit(task);
    await eventsUntil(executor, ({ kind }) => kind === "progress");
    await executor.cancel(true);
    assert.deepEqual((await eventsUntil(executor, ended)).filter(ended), [
      { kind: "cancelled", key: task.key },
    ]);
    await Deno.writeTextFile(gate, "");
    await executor.submit(task);
    assert.equal((await eventsUntil(executor, ended)).at(-1)?.kind, "done");
    assert.deepEqual(await store.verify(task.key), []);
  }));
