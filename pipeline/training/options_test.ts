import assert from "node:assert/strict";
import { z } from "zod";
import { checkTrainingOptions, type TrainingOptions, trainingShape } from "./options.ts";

const schema = z.strictObject(trainingShape);

function issuesOf(value: unknown): string[] {
  const result = schema.safeParse(value);
  return result.success ? [] : result.error.issues.map(({ path }) => path.join("."));
}

Deno.test("defaults", () => {
  const options: TrainingOptions = schema.parse({ steps: 5, optimizer: { lr: 1e-3 } });
  assert.deepEqual(options, {
    steps: 5,
    batch_size: 8,
    length: 256,
    accumulate: 1,
    optimizer: { name: "adamw", lr: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0 },
    schedule: { name: "constant", warmup_steps: 0, warmup_ratio: 0, minimum_ratio: 0 },
    clip: 1,
    dropout: 0,
    shuffle: true,
    packing: false,
    group_by_length: false,
    activation_checkpointing: "auto",
    evaluate_every: 0,
    checkpoint_every: 50,
    log_every: 10,
  });
  assert.equal(schema.parse({ steps: 5 }).optimizer.lr, 2e-4);
});

Deno.test("mistakes are found where they stand", () => {
  assert.deepEqual(issuesOf({}), ["steps"]);
  assert.deepEqual(issuesOf({ steps: 0 }), ["steps"]);
  assert.deepEqual(issuesOf({ steps: 1, optimizer: { name: "adam" } }), ["optimizer.name"]);
  assert.deepEqual(issuesOf({ steps: 1, optimizer: { betas: [0.9, 1] } }), ["optimizer.betas.1"]);
  assert.deepEqual(issuesOf({ steps: 1, dropout: 1 }), ["dropout"]);
  assert.deepEqual(issuesOf({ steps: 1, clip: 0 }), ["clip"]);
  assert.deepEqual(
    issuesOf({ steps: 1, schedule: { warmup_steps: 1, warmup_ratio: 0.1 } }),
    ["schedule.warmup_ratio"],
  );
});

Deno.test("null clip switches clipping off", () => {
  assert.equal(schema.parse({ steps: 1, clip: null }).clip, null);
});

Deno.test("grouping by length excludes packing and needs shuffling", () => {
  const problems = (options: Record<string, boolean>) =>
    checkTrainingOptions(schema.parse({ steps: 1, ...options })).map(({ message }) => message);
  assert.deepEqual(problems({ packing: true, shuffle: false }), []);
  assert.deepEqual(problems({ group_by_length: true }), []);
  const both = problems({ group_by_length: true, packing: true, shuffle: false });
  assert.match(both.join("\n"), /^Packed rows .*\nRows of similar length are drawn at random/);
});
