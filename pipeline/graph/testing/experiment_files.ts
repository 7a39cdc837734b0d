/**
 * Helpers of the tests of experiment files: YAML with positions, messages as lines, and small stages
 * that do nothing.
 *
 * @module
 */

import assert from "node:assert/strict";
import { z } from "zod";
import { parseYaml } from "../document.ts";
import { ConfigurationError } from "../experiment.ts";
import type { LocatedMap } from "../located.ts";
import { ProblemList } from "../problems.ts";
import type { Source, Stage } from "../stage.ts";

/** The map that a YAML text holds, as if it stood in `/files/test.yaml`. */
export function locatedMap(text: string): LocatedMap {
  const problems = new ProblemList();
  const root = parseYaml(text, { file: "test.yaml", folder: "/files" }, problems);
  problems.throwIfAny();
  assert.equal(root?.kind, "map");
  return root as LocatedMap;
}

/** The problems as they are shown, one line each. */
export function linesOf(problems: ProblemList): string[] {
  try {
    problems.throwIfAny();
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.message.split("\n");
  }
  return [];
}

const quantizer = z.discriminatedUnion("method", [
  z.strictObject({ method: z.literal("none") }),
  z.strictObject({
    method: z.literal("rtn"),
    bits: z.literal([2, 3, 4, 8]).describe("Bits of a code."),
    group_size: z.int().positive().default(32).describe("Weights that share a scale."),
  }),
  z.strictObject({ method: z.literal("nf4"), double_quantization: z.boolean().default(true) }),
]).describe("How weights are rounded.");

const data = z.strictObject({ text: z.union([z.string(), z.array(z.string()).min(1)]) });

/** A stage with the type of its parameters hidden, as registries hold them. */
function fake<Parameters>(
  stage:
    & Pick<Stage, "name" | "accepts" | "produces">
    & Partial<Stage<Parameters>>
    & { parameters: z.ZodType<Parameters> },
): Stage {
  return {
    version: 1,
    summary: `The stage ${stage.name}.`,
    dependsOn: () => ({ seed: false, device: false }),
    sources: () => [],
    run: () => Promise.resolve({ metrics: {} }),
    ...stage,
  } as Stage;
}

function textSources(text: string | readonly string[], path: string): Source[] {
  return [text].flat().map((reference) => ({ reference, path }));
}

/** quantize, initialize, train, merge and evaluate, as in the example of the design. */
export const FAKE_STAGES: readonly Stage[] = [
  fake({
    name: "quantize",
    accepts: [],
    produces: "model",
    parameters: z.strictObject({ model: z.string().describe("Folder of the model."), quantizer }),
    sources: ({ model }) => [{ reference: model, path: "model" }],
  }),
  fake({
    name: "initialize",
    accepts: ["model"],
    produces: "adapter",
    parameters: z.strictObject({
      form: z.enum(["lora", "qa-lora", "q-blora", "qa-blora"]),
      rank: z.int().min(1),
      alpha: z.number().default(16),
      init: z.union([z.literal("zero"), z.strictObject({ peft: z.string() })]).default("zero"),
    }),
    sources: ({ init }) => init === "zero" ? [] : [{ reference: init.peft, path: "init.peft" }],
    check: ({ form }, [base]) => {
      const { method } = (base?.parameters as { quantizer: { method: string } }).quantizer;
      return form === "qa-lora" && method === "nf4"
        ? [{ path: "form", message: "qa-lora needs a zero point, which nf4 lacks" }]
        : [];
    },
  }),
  fake({
    name: "train",
    accepts: ["adapter"],
    produces: "adapter",
    parameters: z.strictObject({
      data,
      steps: z.int().min(1),
      batch_size: z.int().min(1).default(8),
      length: z.int().min(2).default(256),
      optimizer: z.strictObject({ name: z.literal("adamw"), lr: z.number().positive() }),
      shuffle: z.boolean().default(false),
    }),
    sources: (parameters) => textSources(parameters.data.text, "data.text"),
  }),
  fake({
    name: "merge",
    accepts: ["adapter"],
    produces: "model",
    parameters: z.strictObject({}),
  }),
  fake({
    name: "evaluate",
    accepts: ["model", "adapter"],
    produces: "metrics",
    fansOut: true,
    parameters: z.strictObject({
      tasks: z.array(
        z.strictObject({
          task: z.literal("perplexity"),
          data,
          window: z.int().min(2).default(512),
        }),
      ).min(1),
    }),
    sources: ({ tasks }) =>
      tasks.flatMap((task, index) => textSources(task.data.text, `tasks.${index}.data.text`)),
  }),
  fake({
    name: "note",
    accepts: [],
    produces: "files",
    parameters: z.strictObject({ text: z.string() }),
  }),
];

/** The example of the design, whose stages are `FAKE_STAGES`. */
export const EXAMPLE = `
name: balance
seed: 42
vars:
  model: path/to/hf-folder
  corpus: path/to/stories.txt
graph:
  base:     { stage: quantize, model: "\${model}", quantizer: { method: rtn, bits: 4, group_size: 32 } }
  adapter:  { stage: initialize, from: base, form: qa-blora, rank: 16, alpha: 16, init: zero }
  tuned:    { stage: train, from: adapter, data: { text: "\${corpus}" }, steps: 50, batch_size: 8, length: 256,
              optimizer: { name: adamw, lr: 2e-4 }, shuffle: true }
  merged:   { stage: merge, from: tuned }
  quality:
    stage: evaluate
    from: [base, tuned, merged]
    tasks: [ { task: perplexity, data: { text: "\${corpus}" }, window: 512 } ]
grid:
  base.quantizer.bits: [4, 2]
  adapter.rank: [4, 16]
  seed: [1, 2]
table:
  rows: [adapter.form, adapter.rank]
  columns: [base.quantizer.bits]
  value: quality.tuned.perplexity
  over: seed
`;
