import assert from "node:assert/strict";
import type { Plan, PlannedStage } from "../graph/plan.ts";
import type { Executor, StageEvent, StageTask } from "./executor.ts";
import { runPlan, taskOf } from "./schedule.ts";

/** A plan of stages "a", "b": each entry is "name" or "name<input,input"; "name!" is cached. */
function planOf(...entries: string[]): Plan {
  const stages = entries.map((entry): PlannedStage => {
    const [head = "", inputs] = entry.split("<");
    const key = head.replace("!", "");
    return {
      key,
      id: key,
      identity: {
        stage: "make",
        version: 1,
        parameters: {},
        sources: {},
        upstream: inputs?.split(",") ?? [],
        seed: null,
        device: null,
      },
      cells: [0],
      decision: head.endsWith("!")
        ? { action: "cached", created: "", bytes: 0 }
        : { action: "runs", reason: "not in the store" },
    };
  });
  const experiment = {
    name: "test",
    file: null,
    folder: "/folder",
    cells: [],
    axes: [],
    table: null,
    document: {},
    position: () => null,
  };
  return { experiment, stages, cells: [], device: null };
}

/** Runs stages in no time, one batch for each poll; records what it is asked. */
class FakeExecutor implements Executor {
  readonly submitted: string[] = [];
  /** Most stages that were submitted and not ended. */
  most = 0;
  readonly cancels: boolean[] = [];
  readonly #slots: number;
  readonly #failing: readonly string[];
  readonly #onPoll: (running: readonly string[]) => void;
  readonly #running: string[] = [];

  constructor(
    options: {
      slots?: number;
      failing?: readonly string[];
      onPoll?: (running: readonly string[]) => void;
    } = {},
  ) {
    this.#slots = options.slots ?? 1;
    this.#failing = options.failing ?? [];
    this.#onPoll = options.onPoll ?? (() => {});
  }

  submit({ key }: StageTask): Promise<void> {
    this.submitted.push(key);
    this.#running.push(key);
    this.most = Math.max(this.most, this.#running.length);
    return Promise.resolve();
  }

  poll(): Promise<readonly StageEvent[]> {
    this.#onPoll(this.#running);
    const key = this.#running.shift() ?? "";
    if (this.cancels.length > 0) return Promise.resolve([{ kind: "cancelled", key }]);
    return Promise.resolve([
      { kind: "started", key },
      this.#failing.includes(key)
        ? { kind: "failed", key, message: `${key} broke`, trace: null }
        : { kind: "done", key },
    ]);
  }

  cancel(force: boolean): Promise<void> {
    this.cancels.push(force);
    return Promise.resolve();
  }

  describe() {
    return { name: "fake", slots: this.#slots };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const equipoise = { version: "0", commit: null };

function statuses(results: ReadonlyMap<string, { status: string }>): Record<string, string> {
  return Object.fromEntries([...results].map(([key, { status }]) => [key, status]));
}

Deno.test("runPlan() submits what is not cached, each stage after its inputs", async () => {
  const executor = new FakeExecutor();
  const results = await runPlan(planOf("a!", "b<a", "c<b", "d"), executor, { equipoise });
  assert.deepEqual(executor.submitted, ["b", "c", "d"]);
  assert.deepEqual(statuses(results), { a: "cached", b: "done", c: "done", d: "done" });
});

Deno.test("runPlan() fills the slots with what is ready, and no more", async () => {
  const executor = new FakeExecutor({ slots: 2 });
  await runPlan(planOf("a", "b<a", "c", "d", "e<d"), executor, { equipoise });
  assert.equal(executor.most, 2);
  assert.deepEqual(executor.submitted, ["a", "c", "b", "d", "e"]);
});

Deno.test("a failure skips what depends on it, with the reason, and nothing else", async () => {
  const executor = new FakeExecutor({ failing: ["a"] });
  const results = await runPlan(planOf("a", "b<a", "c<b", "d"), executor, { equipoise });
  assert.deepEqual(executor.submitted, ["a", "d"]);
  assert.deepEqual(Object.fromEntries(results), {
    a: { status: "failed", message: "a broke" },
    b: { status: "skipped", message: '"a", which it reads, failed' },
    c: { status: "skipped", message: '"b", which it reads, was skipped' },
    d: { status: "done" },
  });
});

Deno.test("with failFast, a failure stops everything else", async () => {
  const executor = new FakeExecutor({ failing: ["a"], slots: 2 });
  const results = await runPlan(planOf("a", "b", "c", "d<a"), executor, {
    equipoise,
    failFast: true,
  });
  assert.deepEqual(executor.submitted, ["a", "b"]);
  assert.deepEqual(executor.cancels, [false]);
  assert.deepEqual(statuses(results), {
    a: "failed",
    b: "cancelled",
    c: "cancelled",
    d: "skipped",
  });
});

Deno.test("an interruption lets running stages end, a second one kills them", async () => {
  const interrupt = new AbortController();
  const kill = new AbortController();
  const executor = new FakeExecutor({
    slots: 2,
    onPoll: () => interrupt.signal.aborted ? kill.abort() : interrupt.abort(),
  });
  const results = await runPlan(planOf("a", "b", "c"), executor, {
    equipoise,
    interrupt: interrupt.signal,
    kill: kill.signal,
  });
  assert.deepEqual(executor.submitted, ["a", "b"]);
  assert.deepEqual(executor.cancels, [false, true]);
  assert.deepEqual(statuses(results), { a: "cancelled", b: "cancelled", c: "cancelled" });
});

Deno.test("an interruption before the start runs nothing", async () => {
  const executor = new FakeExecutor();
  const results = await runPlan(planOf("a"), executor, {
    equipoise,
    interrupt: AbortSignal.abort(),
  });
  assert.deepEqual(executor.submitted, []);
  assert.deepEqual(statuses(results), { a: "cancelled" });
});

Deno.test("a task knows the chain of stages that it stands on, nearest first", () => {
  const plan = planOf("a!", "b<a", "c<b,d", "d");
  const equipoise = { version: "0", commit: null };
  const chains = plan.stages.map((stage) =>
    taskOf(stage, plan, equipoise).upstream.map(({ key, node, stage }) => `${key} ${node} ${stage}`)
  );
  assert.deepEqual(chains, [[], ["a a make"], ["b b make", "a a make"], []]);
});
