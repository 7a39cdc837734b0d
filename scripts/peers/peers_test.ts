import assert from "node:assert/strict";
import { join } from "node:path";
import { MODEL_SHAPES } from "../../pipeline/bench/models.ts";
import { findPython } from "../../pipeline/environment/oracles.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";
import { comparisons, SETS } from "./comparisons.ts";
import { Program } from "./program.ts";
import { findProgram } from "./programs.ts";
import type { Workload } from "./protocol.ts";

const OPTIONS = { device: "reference", threads: 1 };

const TINY = { config: { ...MODEL_SHAPES["tinystories-656k"] } };

/** Small enough for the reference device. */
const BATCH = { weight: "f32", batch: 2, length: 12 } as const;

async function start(name: "equipoise" | "pytorch"): Promise<Program> {
  const command = await findProgram(name, OPTIONS);
  if (typeof command === "string") throw new Error(command);
  return new Program(command, null);
}

Deno.test("comparisons of a set have titles that tell them apart", () => {
  for (const set of SETS) {
    const keys = comparisons(set, undefined).map(({ title, second }) =>
      `${title} ${second.program}`
    );
    assert.equal(new Set(keys).size, keys.length, set);
  }
});

Deno.test("a program says what it cannot do, and goes on", async () => {
  await using program = await start("equipoise");
  assert.match(await program.describe(), /^Equipoise, Deno /);
  const { unsupported } = await program.prepare({ kind: "ceiling", vectors: "widest" });
  assert.match(unsupported ?? "", /No ceiling is known/);
  const { value } = await program.prepare({ kind: "evaluate", model: TINY, ...BATCH });
  assert.ok(Math.abs((value ?? NaN) - Math.log(2048)) < 0.5);
  assert.ok(await program.time(1) > 0);
});

testUnless(
  NO_TEST_DATA ?? (await findPython(["torch"]) === null ? "no Python with PyTorch" : null),
  "our side and PyTorch's compute the same losses of a real model, and of its training",
  async () => {
    const model = { ...TINY, folder: join(TEST_DATA, "models/tinystories-656k") };
    await using ours = await start("equipoise");
    await using theirs = await start("pytorch");
    const workloads: Workload[] = [
      { kind: "evaluate", model, ...BATCH },
      { kind: "train", method: "full", rank: 0, model, ...BATCH },
      { kind: "train", method: "lora", rank: 4, model, ...BATCH },
    ];
    for (const workload of workloads) {
      const [one, other] = [await ours.prepare(workload), await theirs.prepare(workload)];
      assert.equal(one.unsupported ?? other.unsupported, undefined);
      const difference = Math.abs((one.value ?? NaN) - (other.value ?? NaN));
      assert.ok(difference < 1e-4, `${workload.kind}: ${one.value} against ${other.value}`);
    }
  },
);
