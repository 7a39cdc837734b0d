/**
 * `evaluate`: measures models, with or without adapters.
 *
 * @module
 */

import { z } from "zod";
import { Tokenizer } from "../data/tokenizer.ts";
import { taskFor, taskSchema } from "../evaluation/registry.ts";
import { endTokens } from "../evaluation/text_generation.ts";
import type { EvaluationRecord, Sample } from "../evaluation/tasks/sample.ts";
import { writeEvaluation } from "../evaluation/tasks/sample_files.ts";
import type { Metric, Stage } from "../graph/stage.ts";
import { freeLanguageModel } from "../models/language_model.ts";
import { below } from "../memory/settings.ts";
import { adapterBytes, inputOutline, rehearseFrozen } from "./outline.ts";
import { loadFrozen, openTrainedModel } from "./trained_model.ts";

const parameters = z.strictObject({
  tasks: z.array(taskSchema).min(1).describe("What to measure."),
  batch_size: z.int().positive().default(8)
    .describe("Rows of one forward pass; results do not depend on it."),
});

/** Parameters of {@linkcode evaluate}. */
export type EvaluateParameters = z.output<typeof parameters>;

/** See the module documentation. */
export const evaluate: Stage<EvaluateParameters> = {
  name: "evaluate",
  version: 1,
  summary: "Measure models: perplexity, and tasks of questions and answers",
  parameters,
  accepts: ["model", "adapter"],
  fansOut: true,
  produces: "metrics",
  dependsOn: ({ tasks }) => ({
    seed: tasks.some((task) => taskFor(task).usesSeed?.(task) ?? false),
    device: true,
  }),
  sources: ({ tasks }) =>
    tasks.flatMap((task, index) =>
      taskFor(task).sources(task)
        .map((source) => ({ ...source, path: `tasks.${index}.${source.path}` }))
    ),
  check({ tasks }) {
    const names = tasks.map((task) => taskFor(task).nameOf(task));
    const twice = names.flatMap((name, index) =>
      names.indexOf(name) === index ? [] : [{
        path: `tasks.${index}.task`,
        message: `Two tasks are named "${name}"; give one another \`name:\``,
      }]
    );
    const mistakes = tasks.flatMap((task, index) =>
      (taskFor(task).check?.(task) ?? [])
        .map(({ path, message }) => ({ path: `tasks.${index}.${path}`, message }))
    );
    return [...twice, ...mistakes];
  },
  memorySettings: [{ path: "batch_size", smaller: below }],
  // deno-lint-ignore require-await -- other stages read files here
  async forecast({ parameters: { tasks, batch_size: batchSize }, input }) {
    const outline = inputOutline(input);
    return {
      outline: null,
      rehearse: (device) => {
        if (outline.adapter !== null) {
          device.ledger.take("host", "adapter", adapterBytes(outline.adapter));
        }
        const model = rehearseFrozen(device, outline);
        for (const task of tasks) {
          device.ledger.phase(taskFor(task).nameOf(task));
          taskFor(task).rehearse(model, batchSize, task);
        }
      },
    };
  },
  async run(context) {
    const { parameters: { tasks, batch_size: batchSize }, input } = context;
    if (input === null) throw new RangeError("evaluate needs a model");
    using trained = await openTrainedModel(context, input);
    const tokenizer = Tokenizer.open(trained.model.folder, trained.model.config.vocabSize);
    const device = await context.device();
    const model = await loadFrozen(device, trained);
    const metrics: Record<string, Metric> = {};
    const records: EvaluationRecord[] = [];
    const samples = new Map<string, readonly Sample[]>();
    try {
      for (const [index, task] of tasks.entries()) {
        const path = `tasks.${index}.data`;
        Object.assign(
          metrics,
          await taskFor(task).run(
            {
              model,
              tokenizer,
              batchSize,
              endTokens: endTokens(trained.model.folder, tokenizer),
              seed: context.seed,
              checkpoint: context.checkpoint,
              resolve: (reference) => context.resolve({ reference, path }),
              report(done, total, values = {}) {
                context.signal.throwIfAborted();
                context.report({ activity: taskFor(task).nameOf(task), done, total, values });
              },
              log: (line) => context.remark(line),
              record(record, items) {
                records.push(record);
                for (const [name, own] of items) samples.set(name, own);
              },
            },
            task,
          ),
        );
        context.signal.throwIfAborted();
      }
    } finally {
      freeLanguageModel(model);
    }
    if (records.length > 0) {
      await writeEvaluation(context.folder, {
        tasks: records.flatMap(({ tasks }) => tasks),
        groups: records.flatMap(({ groups }) => groups),
      }, samples);
    }
    await Deno.writeTextFile(
      `${context.folder}/metrics.json`,
      JSON.stringify(metrics, null, 2) + "\n",
    );
    return { metrics };
  },
};
