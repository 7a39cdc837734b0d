import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigurationError } from "./graph/experiment.ts";
import { keyOf, type StageIdentity } from "./graph/manifest.ts";
import { type Results, stringifyResults } from "./graph/results.ts";
import { Store } from "./graph/store.ts";
import { writeReport } from "./run_report.ts";

const IDENTITY: StageIdentity = {
  stage: "train",
  version: 1,
  parameters: {},
  sources: {},
  upstream: [],
  seed: null,
  device: null,
};

const KEY = keyOf(IDENTITY);

const RECORD = {
  created: "2026-11-22T01:00:00.000Z",
  seconds: 1,
  peakMemory: { host: 1, device: null },
  facts: {},
};

const EQUIPOISE = { version: "0", commit: null };

const RESULTS: Results = {
  format: "equipoise/results",
  version: 1,
  name: "example",
  status: "done",
  axes: [],
  cells: [],
  stages: {
    [KEY]: {
      node: "tuned",
      stage: "train",
      status: "done",
      error: null,
      result: { ...RECORD, device: null, equipoise: EQUIPOISE },
    },
  },
  table: null,
  provenance: {
    equipoise: EQUIPOISE,
    deno: "2",
    os: "linux",
    device: null,
    command: null,
    started: RECORD.created,
    finished: RECORD.created,
    data: [],
  },
};

/** Folder of results with the run "example", whose only stage has a result in the store if `losses`. */
async function withRun(
  losses: string | null,
  test: (out: string) => Promise<void>,
): Promise<void> {
  const out = await Deno.makeTempDir();
  try {
    const folder = join(out, "example");
    await Deno.mkdir(folder);
    await Deno.writeTextFile(join(folder, "results.json"), stringifyResults(RESULTS));
    await Deno.writeTextFile(join(folder, "plan.json"), `{ "name": "example", "stages": [] }`);
    await Deno.writeTextFile(join(folder, "experiment.yaml"), "name: example\n");
    if (losses !== null) await commitLosses(join(out, ".store"), losses);
    await test(out);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
}

async function commitLosses(folder: string, losses: string): Promise<void> {
  using store = await Store.open(folder);
  using _ = await store.lock(KEY);
  const workspace = await store.begin(KEY);
  await Deno.writeTextFile(join(workspace.folder, "losses.jsonl"), losses);
  await store.commit(workspace, {
    format: "equipoise/artifact",
    key: KEY,
    kind: "adapter",
    node: "tuned",
    metrics: {},
    ...IDENTITY,
    ...RECORD,
    provenance: {
      experiment: "example",
      equipoise: EQUIPOISE,
      deno: "2",
      os: "linux",
      device: null,
    },
  });
}

const LOSSES = [1, 2].map((step) =>
  JSON.stringify({ step, loss: 3 - step, lr: 1, grad_norm: 1, tokens: 1 }) + "\n"
).join("");

Deno.test("writeReport() finds a run by its name or its folder and reads its losses", async () => {
  await withRun(LOSSES, async (out) => {
    const path = await writeReport("example", out);
    assert.equal(path, join(out, "example", "report.html"));
    const page = await Deno.readTextFile(path);
    assert.match(page, /<title>example<\/title>[^]*class="mark-line/);
    assert.equal(await writeReport(join(out, "example"), "elsewhere"), path);
  });
});

Deno.test("writeReport() does without losses that are gone or damaged, and says so", async () => {
  await withRun(null, async (out) => {
    const page = await Deno.readTextFile(await writeReport("example", out));
    assert.match(page, /No curves: there is no store/);
  });
  await withRun("{ not JSON\n", async (out) => {
    const page = await Deno.readTextFile(await writeReport("example", out));
    assert.match(page, /No curves: [^<]*losses\.jsonl is damaged/);
  });
});

Deno.test("writeReport() says where it looked for a run", async () => {
  await withRun(null, async (out) => {
    await assert.rejects(() => writeReport("exampel", out), (error: unknown) => {
      assert.ok(error instanceof ConfigurationError);
      assert.ok(error.message.includes(`There is no run "exampel" here or in ${out}`));
      return true;
    });
  });
});
