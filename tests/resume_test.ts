/**
 * Interrupted training ends as if nothing had happened: bit by bit, whatever ended it.
 */

import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { planExperiment } from "../pipeline/experiment.ts";
import type { Decision } from "../pipeline/graph/plan.ts";
import { type CommandEnd, endOf, startCommand } from "./support/command.ts";
import { filesIn, makersIn, resultsIn, unfinishedIn } from "./support/store.ts";
import { inFolder } from "./support/tiny_model.ts";

/**
 * Everything that must survive: all weights of a model and its tokenizer, then an adapter with dropout,
 * accumulation, shuffling, warm-up, clipping and evaluations.
 */
const EXPERIMENT = `name: resume
seed: 3
graph:
  model:
    stage: pretrain
    data: { text: text.txt, documents: lines }
    tokenizer: { vocab_size: 264 }
    config: { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
      num_key_value_heads: 1, max_position_embeddings: 64, tie_word_embeddings: true }
    steps: 40
    batch_size: 2
    length: 16
    optimizer: { lr: 1e-3, weight_decay: 0.1 }
    log_every: 1
    checkpoint_every: 4
  base: { stage: quantize, from: model, quantizer: { method: rtn, bits: 4, group_size: 16 } }
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    evaluation: { text: text.txt, documents: lines }
    steps: 40
    batch_size: 2
    length: 16
    accumulate: 2
    dropout: 0.2
    shuffle: true
    optimizer: { lr: 1e-2 }
    schedule: { name: cosine, warmup_steps: 5 }
    clip: 0.1
    evaluate_every: 7
    log_every: 1
    checkpoint_every: 4
`;

/** Why the plan resumes a stage. */
const AT_STEP = /^checkpoint at step (\d+)$/;

/** A signal to send when the log of a node says that a step is done. */
interface Interruption {
  readonly node: "model" | "tuned";
  readonly step: number;
  readonly signal: "INT" | "KILL";
}

/** Runs the experiment with results in `out`; sends a signal to all of its processes. */
async function run(
  folder: string,
  out: string,
  interruption?: Interruption,
): Promise<CommandEnd> {
  const logs = join(folder, out, "resume", "logs");
  await Deno.mkdir(logs, { recursive: true });
  const watcher = Deno.watchFs(logs);
  const process = startCommand(
    "experiment",
    ["resume.yaml", "--device", "cpu", "--out", out],
    { cwd: folder },
  );
  const end = endOf(process).finally(() => watcher.close());
  if (interruption === undefined) return await end;
  const { node, step, signal } = interruption;
  const reached = await isLogged(watcher, node, new RegExp(`^step ${step} `, "m"));
  if (!reached) assert.fail(`it ended before step ${step} of ${node}: ${(await end).stderr}`);
  const makers = await makersIn(join(folder, out));
  assert.equal(makers.length, 1, "one worker");
  const kill = `kill -${signal} ${process.pid} ${makers[0]}`;
  await new Deno.Command("sh", { args: ["-c", kill] }).output();
  return await end;
}

/** Waits for a line in the log of a node since its last start; false if the watcher is closed first. */
async function isLogged(watcher: Deno.FsWatcher, node: string, line: RegExp): Promise<boolean> {
  for await (const { paths } of watcher) {
    const path = paths.find((path) => basename(path).startsWith(`${node}-`));
    if (path === undefined) continue;
    const text = await Deno.readTextFile(path);
    if (line.test(text.slice(text.lastIndexOf(" started\n")))) return true;
  }
  return false;
}

/** What the plan says of a node. */
async function decisionOf(
  folder: string,
  out: string,
  node: string,
): Promise<Decision | undefined> {
  const plan = await planExperiment(join(folder, "resume.yaml"), {
    device: "cpu",
    out: join(folder, out),
  });
  return plan.stages.find(({ id }) => id === node)?.decision;
}

Deno.test("killed or interrupted at any step, training continues to the same bits", async (t) => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "resume.yaml"), EXPERIMENT);
    const whole = await run(folder, "whole");
    assert.equal(whole.status, 0, whole.stderr);
    const expected = await filesIn(join(folder, "whole"));

    await t.step("the run trains", () => {
      assert.deepEqual(Object.keys(expected).sort(), ["adapter", "base", "model", "tuned"]);
      const before = expected["adapter"]?.["adapter_model.safetensors"];
      assert.notEqual(expected["tuned"]?.["adapter_model.safetensors"], before);
    });

    await t.step("two fresh runs agree bit by bit", async () => {
      assert.equal((await run(folder, "again")).status, 0);
      assert.deepEqual(await filesIn(join(folder, "again")), expected);
    });

    await t.step("SIGKILL, four times", async () => {
      const kills = [["model", 3], ["model", 18], ["tuned", 6], ["tuned", 21]] as const;
      for (const [node, step] of kills) {
        const killed = await run(folder, "killed", { node, step, signal: "KILL" });
        assert.equal(killed.status, 137);
        // Until step 4 there is no checkpoint.
        if (step > 4) {
          const decision = await decisionOf(folder, "killed", node);
          assert.match(decision?.action === "resumes" ? decision.reason : "", AT_STEP);
        }
      }
      const resumed = await run(folder, "killed");
      assert.equal(resumed.status, 0, resumed.stderr);
      const { facts } = (await resultsIn(join(folder, "killed"))).get("tuned") ?? {};
      assert(Number(facts?.["resumed_from_step"]) >= 20, "it goes on from the last checkpoint");
      assert.deepEqual(await filesIn(join(folder, "killed")), expected);
      assert.deepEqual(await unfinishedIn(join(folder, "killed")), []);
    });

    await t.step("Ctrl-C ends cleanly and says how to resume", async () => {
      const interrupted = await run(folder, "stopped", { node: "tuned", step: 6, signal: "INT" });
      assert.equal(interrupted.status, 130);
      assert.match(interrupted.stderr, /^Stopping after the current step; Ctrl-C again stops/m);
      assert.match(interrupted.stderr, /^– tuned: interrupted$/m);
      assert.match(interrupted.stderr, /^To resume, run the same command again$/m);
      const decision = await decisionOf(folder, "stopped", "tuned");
      const reason = decision?.action === "resumes" ? decision.reason : "";
      const step = Number(AT_STEP.exec(reason)?.[1]);
      assert(step >= 6 && step < 40, reason);

      const resumed = await run(folder, "stopped");
      assert.equal(resumed.status, 0, resumed.stderr);
      const log = await Deno.readTextFile(logOf(join(folder, "stopped"), "tuned"));
      assert.match(log, new RegExp(`^continues after step ${step} of 40$`, "m"));
      assert.deepEqual(await filesIn(join(folder, "stopped")), expected);
    });
  });
});

function logOf(out: string, node: string): string {
  const logs = join(out, "resume", "logs");
  const [name] = [...Deno.readDirSync(logs)].map(({ name }) => name)
    .filter((name) => name.startsWith(`${node}-`));
  return join(logs, name ?? "");
}
