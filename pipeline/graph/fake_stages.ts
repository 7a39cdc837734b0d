/**
 * Small stages that do nothing, for the tests of the graph.
 *
 * @module
 */

import { z } from "zod";
import type { Source, Stage } from "./stage.ts";

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
];
