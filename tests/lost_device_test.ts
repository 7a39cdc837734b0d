/**
 * A device that fails in the middle of training: one clear sentence, exit status 1, the last checkpoint
 * kept; and the same command again ends as if nothing had happened, bit by bit.
 */

import assert from "node:assert/strict";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { planExperiment } from "../pipeline/experiment.ts";
import {
  assertForPeople,
  assertOneMessage,
  type CommandEnd,
  runCommand,
} from "./support/command.ts";
import { filesIn, resultsIn, unfinishedIn } from "./support/store.ts";
import { inFolder, QUANTIZE } from "./support/tiny_model.ts";

const EXPERIMENT = `name: lost
seed: 3
graph:
  base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4 }
  tuned: { stage: train, from: adapter, data: { text: text.txt }, steps: 20, batch_size: 2, length: 16,
    dropout: 0.2, shuffle: true, optimizer: { lr: 1e-2 }, log_every: 1, checkpoint_every: 4 }
  quality: { stage: evaluate, from: tuned,
    tasks: [ { task: perplexity, data: { text: text.txt }, window: 16 } ] }
`;

/** Runs the experiment; with a failure, in workers that first load `support/failing_device.ts`. */
async function run(folder: string, out: string, failure?: string): Promise<CommandEnd> {
  const args = ["lost.yaml", "--device", "webgpu", "--out", out];
  if (failure === undefined) return await runCommand("experiment", args, { cwd: folder });
  const programs = join(folder, "programs");
  const preload = fileURLToPath(new URL("support/failing_device.ts", import.meta.url));
  await Deno.mkdir(programs, { recursive: true });
  await Deno.writeTextFile(
    join(programs, "deno"),
    `#!/bin/sh\nshift\nexec "${Deno.execPath()}" run --preload="${preload}" "$@"\n`,
    { mode: 0o755 },
  );
  return await runCommand("experiment", args, {
    cwd: folder,
    env: { DEVICE_FAILURE: failure, PATH: `${programs}${delimiter}${Deno.env.get("PATH")}` },
    // Without the permission to start this very executable, workers are started by name.
    programs: ["deno", "git"],
  });
}

/** What the command says of each failure. */
const FAILURES: Readonly<Record<string, RegExp>> = {
  lost: /^✗ tuned: The WebGPU device was lost \(.+\): run the same command again; .* smaller batch/,
  memory: /^✗ tuned: Out of device memory during computation, with .* use a smaller model, batch/,
  panic: new RegExp(
    '^✗ tuned: The worker process was ended with exit code \\d+ while it ran "tuned" ' +
      "\\(it said: Deno panicked at ext/webgpu/.+\\): run the same command again; .* smaller batch",
  ),
};

Deno.test({
  name: "a device that fails in the middle of training costs the steps since the last checkpoint",
  ignore: Deno.build.os === "windows", // where a script of `sh` is no program
  fn: (t) =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(join(folder, "lost.yaml"), EXPERIMENT);
      const whole = await run(folder, "whole");
      assert.equal(whole.status, 0, whole.stderr);
      const expected = await filesIn(join(folder, "whole"));
      for (const [failure, message] of Object.entries(FAILURES)) {
        await t.step(failure, () => checkFailure(folder, failure, message, expected));
      }
    }),
});

/** Fails after step 10, between the checkpoints of steps 8 and 12, and resumes. */
async function checkFailure(
  folder: string,
  failure: string,
  message: RegExp,
  expected: Awaited<ReturnType<typeof filesIn>>,
): Promise<void> {
  const out = join(folder, failure);
  const failed = await run(folder, failure, `${failure} 10`);
  assert.equal(failed.status, 1);
  const lines = failed.stderr.split("\n").filter((line) => line.startsWith("✗"));
  assertOneMessage(lines.join("\n"), message);
  assertForPeople(failed.stderr);
  assert.deepEqual([...(await resultsIn(out)).keys()].sort(), ["adapter", "base"]);

  const plan = await planExperiment(join(folder, "lost.yaml"), { device: "webgpu", out });
  const decision = plan.stages.find(({ id }) => id === "tuned")?.decision;
  assert.deepEqual(decision, { action: "resumes", reason: "checkpoint at step 8" });

  const resumed = await run(folder, failure);
  assert.equal(resumed.status, 0, resumed.stderr);
  const { facts } = (await resultsIn(out)).get("tuned") ?? {};
  assert.equal(facts?.["resumed_from_step"], 8);
  assert.deepEqual(await filesIn(out), expected);
  assert.deepEqual(await unfinishedIn(out), []);
}
