/**
 * What cannot fit is refused by both commands before anything runs, at the place to change.
 *
 * @module
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./support/command.ts";
import { inFolder, QUANTIZE } from "./support/tiny_model.ts";

const EXPERIMENT = `name: large
graph:
  base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, rank: 4 }
  tuned: { stage: train, from: adapter, data: { text: text.txt }, steps: 1, batch_size: 9000000, length: 64 }
`;

const REFUSED =
  /^large\.yaml:5:\d+: "tuned" cannot run: its tensor "gate" takes 295 GB, but reference allows 4\.29 GB; set tuned\.batch_size to \d+$/m;

Deno.test("plan and experiment refuse what cannot fit, with status 2 and a batch size that fits", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "large.yaml"), EXPERIMENT);
    const args = ["large.yaml", "--device", "reference"];
    const planned = await runCommand("plan", args, { cwd: folder });
    assert.equal(planned.status, 2);
    assert.match(planned.stdout, /^ {2}device {2}activations .* TB {2}throughout$/m);
    assert.match(planned.stderr, REFUSED);
    const run = await runCommand("experiment", args, { cwd: folder });
    assert.equal(run.status, 2);
    assert.match(run.stderr, REFUSED);
    assert.equal(existsSync(join(folder, "runs", "large")), false);
    const size = /batch_size to (\d+)/.exec(planned.stderr)?.[1];
    const smaller = await runCommand("plan", [...args, "--set", `tuned.batch_size=${size}`], {
      cwd: folder,
    });
    assert.equal(smaller.status, 0, smaller.stderr);
  }));

Deno.test("plan prints what every stage holds, and --json says it to programs", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "large.yaml"), EXPERIMENT);
    const args = ["large.yaml", "--device", "reference", "--set", "tuned.batch_size=2"];
    const text = await runCommand("plan", args, { cwd: folder });
    assert.match(
      text.stdout,
      /^tuned +train +runs: not in the store +device [\d.]+ [kM]B, host \d+ MB$/m,
    );
    assert.match(text.stdout, /^ {2}device {2}optimizer moments +[\d.]+ kB {2}throughout$/m);
    assert.match(text.stdout, /activation checkpointing is off; on: device [\d.]+ [kM]B/);
    const { stages } = JSON.parse(
      (await runCommand("plan", [...args, "--json"], { cwd: folder })).stdout,
    );
    const tuned = stages.find(({ node }: { node: string }) => node === "tuned");
    assert.equal(tuned.memory.checkpointing.chosen, false);
    const { peak, items } = tuned.memory.device;
    assert.equal(items.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0), peak);
  }));
