import assert from "node:assert/strict";
import type { CellResult, Results, StageRecord } from "../graph/results.ts";
import { reportNodes } from "./html_graph.ts";
import { stageNames } from "./html_labels.ts";
import { htmlReport, type ReportSource } from "./html_report.ts";
import type { PlanRecord } from "./plan_text.ts";

/** Would be an element, an attribute or an entity if it were not escaped. */
const HOSTILE = `<script src="x">&amp;'`;
const ESCAPED = "&lt;script src=&quot;x&quot;&gt;&amp;amp;&#39;";

const EQUIPOISE = { version: "0.1.0", commit: "68db09fe7caa-dirty" };

function stage(node: string, kind: string, facts: Record<string, string | boolean>): StageRecord {
  return {
    node,
    stage: kind,
    status: "done",
    error: null,
    result: {
      created: "2026-11-22T01:00:00.000Z",
      seconds: 65,
      peakMemory: { host: 2e8, device: 3e6 },
      facts,
      device: null,
      equipoise: EQUIPOISE,
    },
  };
}

function cell(index: number, bits: number, keys: Record<string, string>): CellResult {
  return {
    index,
    values: { "base.bits": bits, "adapter.form": HOSTILE },
    seed: 42,
    status: "done",
    error: null,
    metrics: {
      "merged.max_logit_difference": { value: 2.5e-5, protocol: "probe-2048" },
      "merged.perplexity_before": { value: 10 + bits },
      "quality.merged.perplexity": { value: 64.247, standardError: 4.01, protocol: HOSTILE },
    },
    stages: keys,
    nodes: {},
    seconds: 130,
    peakMemory: null,
  };
}

const RESULTS: Results = {
  format: "equipoise/results",
  version: 1,
  name: HOSTILE,
  status: "failed",
  axes: ["base.bits", "adapter.form"],
  cells: [
    cell(0, 4, {
      base: "aaaa",
      tuned: "bbbb",
      merged: "cccc",
      "quality.merged": "0123456789abcdef",
    }),
    { ...cell(1, 2, { base: "dddd" }), status: "failed", error: `base: ${HOSTILE}`, metrics: {} },
  ],
  stages: {
    aaaa: stage("base", "quantize", { quantizer: HOSTILE }),
    bbbb: stage("tuned", "train", {}),
    cccc: stage("merged", "merge", { exact: true, merged_into: "zero points" }),
    "0123456789abcdef": stage("quality.merged", "evaluate", {}),
    dddd: { ...stage("base", "quantize", {}), status: "failed", error: HOSTILE, result: null },
  },
  table: {
    title: HOSTILE,
    rows: ["base.bits", "adapter.form"],
    columns: [],
    values: ["quality.merged.perplexity"],
    over: [],
  },
  provenance: {
    equipoise: EQUIPOISE,
    deno: HOSTILE,
    os: HOSTILE,
    device: { name: "webgpu", class: HOSTILE, description: HOSTILE },
    command: `deno task experiment ${HOSTILE}`,
    started: "2026-11-22T01:00:00.000Z",
    finished: "2026-11-22T01:02:10.000Z",
    data: [{ reference: HOSTILE, sha256: "ab".repeat(32) }],
  },
};

const PLAN: readonly PlanRecord[] = [
  planned("cccc", "merged", "merge", ["bbbb"]),
  planned("aaaa", "base", "quantize", []),
  planned("dddd", "base", "quantize", []),
  planned("bbbb", "tuned", "train", ["aaaa"]),
  planned("0123456789abcdef", "quality.merged", "evaluate", ["cccc"]),
  planned("eeee", "quality.base", "evaluate", ["dddd"]),
];

function planned(key: string, node: string, kind: string, upstream: readonly string[]): PlanRecord {
  return { key, node, stage: kind, cells: [0], upstream, decision: { action: "runs", reason: "" } };
}

const SOURCE: ReportSource = {
  results: RESULTS,
  plan: PLAN,
  yaml: `name: x\n  indented: ${HOSTILE}\n`,
  histories: [{
    key: "bbbb",
    node: "tuned",
    result: stage("tuned", "train", {}).result as NonNullable<StageRecord["result"]>,
    steps: [3, 2].map((loss, index) => ({ step: index + 1, loss, lr: 1, grad_norm: 1, tokens: 1 })),
  }],
};

Deno.test("htmlReport() escapes whatever comes from outside", async () => {
  const page = await htmlReport(SOURCE);
  assert.ok(!page.includes("<script"));
  for (
    const place of [
      `<title>${ESCAPED}</title>`,
      `<h2>${ESCAPED}</h2>`,
      `indented: ${ESCAPED}`,
      `deno task experiment ${ESCAPED}`,
      `<p class="bad">base: ${ESCAPED}</p>`,
      `<dd>${ESCAPED}</dd>`,
    ]
  ) assert.ok(page.includes(place), place);
});

Deno.test("htmlReport() is one well-formed page that asks for nothing", async () => {
  const page = await htmlReport(SOURCE);
  assert.deepEqual(unbalanced(page), []);
  assert.ok(/Content-Security-Policy"\s+content="default-src 'none'/.test(page));
  const addresses = [...page.matchAll(/\b(?:href|src|action|data)="([^"]*)"|url\(|@import/g)]
    .map(([, address]) => address);
  assert.deepEqual(addresses, ["data:,"]);
  assert.equal(await htmlReport(structuredClone(SOURCE)), page);
});

Deno.test("htmlReport() shows metrics, merges, times and how to reproduce them", async () => {
  const page = await htmlReport(SOURCE);
  const text = textOf(page);
  for (
    const expected of [
      "1 of 2 cells done",
      "64.2 ± 4.0",
      "0123456789ab",
      "merged zero points exact 2.50e-5 -- 14 --",
      "train 1 0 1:05",
      "git checkout 68db09fe7caa deno task experiment",
      "The working tree had changes",
      "Loss of tuned by step.",
      "ab".repeat(32),
    ]
  ) assert.ok(text.includes(expected), `${expected} in ${text}`);
  assert.match(page, /class="mark-line/);
  assert.ok(page.includes("  indented:"), "the file keeps its spaces");
});

Deno.test("htmlReport() says why there are no curves", async () => {
  const page = await htmlReport({ ...SOURCE, histories: "the store is gone." });
  assert.ok(page.includes("No curves: the store is gone."));
  const untrained = await htmlReport({ ...SOURCE, histories: [] });
  assert.ok(!untrained.includes("<h2>Training</h2>"));
});

Deno.test("stageNames() tells stages of one node apart", () => {
  assert.deepEqual([...stageNames(RESULTS)], [
    ["aaaa", "base (bits 4)"],
    ["bbbb", "tuned"],
    ["cccc", "merged"],
    ["0123456789abcdef", "quality.merged"],
    ["dddd", "base (bits 2)"],
  ]);
});

Deno.test("reportNodes() puts a node below everything that it reads", () => {
  assert.deepEqual(reportNodes(PLAN), [
    { name: "base", stage: "quantize", reads: [], stages: 2 },
    { name: "tuned", stage: "train", reads: ["base"], stages: 1 },
    { name: "merged", stage: "merge", reads: ["tuned"], stages: 1 },
    { name: "quality", stage: "evaluate", reads: ["merged", "base"], stages: 2 },
  ]);
});

/** Elements that are opened and not closed, or closed and not open. */
function unbalanced(page: string): string[] {
  const open: string[] = [];
  const faults: string[] = [];
  for (const [, close, name = "", self] of page.matchAll(/<(\/?)([a-z][\w-]*)[^>]*?(\/?)>/g)) {
    if (self || ["meta", "link", "br", "hr"].includes(name)) continue;
    if (!close) open.push(name);
    else if (open.at(-1) === name) open.pop();
    else faults.push(`</${name}> in ${open.join(" ")}`);
  }
  return [...faults, ...open];
}

/** What a person reads, with single spaces. */
function textOf(page: string): string {
  return page.replace(/<style>.*?<\/style>/s, "").replaceAll(/<[^>]*>/g, " ").replaceAll(
    /\s+/g,
    " ",
  );
}
