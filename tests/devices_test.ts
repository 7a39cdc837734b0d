/**
 * One experiment on all devices: they agree within the rounding of f32, and what does not belong to a
 * device's class changes no bit.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { DeviceName } from "../mod.ts";
import { runCommand } from "./support/command.ts";
import { filesIn, resultsIn } from "./support/store.ts";
import { inFolder } from "./support/tiny_model.ts";

const EXPERIMENT = `name: devices
seed: 8
graph:
  base: { stage: quantize, model: tiny, quantizer: { method: rtn, bits: 4, group_size: 16 } }
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 10
    batch_size: 2
    length: 32
    optimizer: { lr: 1e-2 }
    dropout: 0.1
    log_every: 1
  quality:
    stage: evaluate
    from: [base, tuned]
    tasks: [{ task: perplexity, data: { text: text.txt }, window: 32 }]
`;

/**
 * Largest relative difference to the float64 device. Sums of 32 to 264 products in f32 are off by some
 * 1e-7 of their size, and ten steps of Adam carry that on; measured are 3e-7.
 */
const BOUND = 1e-5;

interface Numbers {
  readonly losses: readonly number[];
  readonly perplexities: readonly number[];
}

/** Runs the experiment as a command with results in `out`. */
async function run(
  folder: string,
  out: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  await Deno.writeTextFile(join(folder, "devices.yaml"), EXPERIMENT);
  const end = await runCommand("experiment", ["devices.yaml", "--out", out, ...args], {
    cwd: folder,
    env,
  });
  assert.equal(end.status, 0, end.stderr);
}

async function numbersOn(folder: string, device: DeviceName): Promise<Numbers> {
  await run(folder, device, ["--device", device]);
  const out = join(folder, device);
  const results = await resultsIn(out);
  const key = results.get("tuned")?.key ?? "";
  const path = join(out, ".store", "results", key.slice(0, 2), key, "losses.jsonl");
  const lines = (await Deno.readTextFile(path)).trim().split("\n");
  return {
    losses: lines.map((line) => JSON.parse(line).loss),
    perplexities: ["quality.base", "quality.tuned"].map((node) =>
      Number(results.get(node)?.metrics["perplexity"]?.value)
    ),
  };
}

function assertClose(found: readonly number[], expected: readonly number[], what: string): void {
  assert.equal(found.length, expected.length);
  found.forEach((value, index) => {
    const error = Math.abs(value / (expected[index] ?? NaN) - 1);
    assert.ok(error <= BOUND, `${what} ${index}: ${value}, expected ${expected[index]}`);
  });
}

Deno.test("losses and perplexities of cpu and webgpu are those of the float64 reference", () =>
  inFolder(async (folder) => {
    const expected = await numbersOn(folder, "reference");
    assert.equal(expected.losses.length, 10);
    assert.ok((expected.perplexities[1] ?? NaN) < (expected.perplexities[0] ?? NaN), "it learns");
    for (const device of ["cpu", "webgpu"] as const) {
      const found = await numbersOn(folder, device);
      assertClose(found.losses, expected.losses, `${device}: loss`);
      assertClose(found.perplexities, expected.perplexities, `${device}: perplexity`);
    }
  }));

Deno.test("threads and wide vectors change no bit of any file", () =>
  inFolder(async (folder) => {
    await run(folder, "wide", ["--device", "cpu", "--threads", "3"]);
    await run(folder, "plain", ["--device", "cpu", "--threads", "1"], {
      EQUIPOISE_WIDE_VECTORS: "off",
    });
    const files = await filesIn(join(folder, "wide"));
    assert.ok(files["tuned"]?.["losses.jsonl"]);
    assert.deepEqual(await filesIn(join(folder, "plain")), files);
  }));
