/**
 * `task: hellaswag` and the like: tasks of lm-evaluation-harness, its task files, and others of their
 * form.
 *
 * @module
 */

import { isAbsolute } from "node:path";
import { UserError } from "../../errors.ts";
import { statOrNull } from "../../formats/files.ts";
import type { Metric, Source } from "../../graph/stage.ts";
import { journaled } from "../requests/journal.ts";
import { ModelRequests, rehearseRequests } from "../requests/model_requests.ts";
import type { EvaluationEnvironment, EvaluationTask } from "../task.ts";
import { bundledTask } from "./bundled/bundled_tasks.ts";
import { type Evaluated, evaluateTask } from "./evaluate_task.ts";
import {
  type HarnessParameters,
  harnessParameters,
  isTaskFile,
  nameOfEntry,
} from "./harness_parameters.ts";
import { loadTaskFile } from "./load_task.ts";
import type { AskedFiles } from "./plan_task.ts";
import { namingRefusals } from "./refused_request.ts";
import { renamed } from "./rename.ts";
import { macroName } from "./summarize.ts";
import { leaves, type TaskNode } from "./task_node.ts";
import { examplesSplitOf, taskReferences, testedSplitOf } from "./task_sources.ts";

/** Groups of more have their tasks in a file only: 57 subjects make no table. */
const MOST_SUBTASKS = 10;

/** See the module documentation. */
export const harness: EvaluationTask<HarnessParameters> = {
  name: "harness",
  summary: "Questions and answers as lm-evaluation-harness asks them",
  parameters: harnessParameters,
  nameOf: nameOfEntry,
  usesSeed(parameters) {
    const node = readNode(parameters);
    return node !== null &&
      leaves(withGeneration(node, parameters)).some(({ config }) =>
        config.output_type === "generate_until" && isSampled(config.generation_kwargs ?? {})
      );
  },
  sources(parameters) {
    const node = readNode(parameters);
    const own = isTaskFile(parameters) ? taskFiles(parameters, node) : [];
    const { test, fewshot } = references(parameters, node);
    return [...own, ...listed(test, "data.test"), ...listed(fewshot, "data.fewshot")];
  },
  check(parameters) {
    try {
      const node = nodeOf(parameters);
      const { test, fewshot } = references(parameters, node);
      if (test.length === 0) {
        return [{
          path: "data",
          message: `The task ${parameters.task} does not say where its questions are: name their ` +
            "files under data.test",
        }];
      }
      const split = fewshot.length > 0 ? null : missingExamples(parameters, node);
      return split === null ? [] : [{
        path: "data",
        message: `The task ${parameters.task} takes its examples from the split "${split}": name ` +
          "their files under data.fewshot, or set num_fewshot: 0",
      }];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return [{ path: "task", message: error.message }];
    }
  },
  rehearse(model, batchSize, parameters) {
    const kinds = leaves(nodeOf(parameters)).map(({ config }) =>
      config.output_type === "generate_until" ? "generations" : "scores"
    );
    rehearseRequests(model, {
      batchSize,
      kinds: [...new Set(kinds)],
      ...(parameters.max_length === undefined ? {} : { maxLength: parameters.max_length }),
    });
  },
  async run(environment, parameters) {
    const { model, tokenizer, batchSize, endTokens, seed, checkpoint } = environment;
    const node = withGeneration(nodeOf(parameters), parameters);
    const name = nameOfEntry(parameters);
    const requests = new ModelRequests(model, tokenizer, {
      batchSize,
      seed,
      stopTokens: endTokens,
      bos: parameters.bos,
      ...(parameters.max_length === undefined ? {} : { maxLength: parameters.max_length }),
    });
    const evaluated = renamed(
      await evaluateTask(
        node,
        await filesOf(parameters, node, environment),
        journaled(namingRefusals(requests), `${checkpoint}/${name}.requests`),
        {
          shots: parameters.num_fewshot ?? null,
          seed: parameters.fewshot_seed,
          limit: parameters.limit ?? null,
          onBadItem: parameters.on_bad_item,
          onLongPrompt: parameters.on_long_prompt,
          bootstrapIterations: parameters.bootstrap_iterations,
          log: environment.log,
          report: environment.report,
        },
      ),
      node.name,
      name,
    );
    environment.record(evaluated.record, evaluated.samples);
    return metricsOf(evaluated, { name, task: node.name }, parameters);
  },
};

/** @throws {UserError} If the task file has mistakes. */
function nodeOf(parameters: HarnessParameters): TaskNode {
  const node = isTaskFile(parameters)
    ? loadTaskFile(parameters.task, bundledTask)
    : bundledTask(parameters.task);
  if (node === null) throw new RangeError(`There is no task ${parameters.task}`);
  return node;
}

/** Null where the task file cannot be read; the check says why. */
function readNode(parameters: HarnessParameters): TaskNode | null {
  // Before the path is made absolute nothing can be found under it.
  if (isTaskFile(parameters) && !isAbsolute(parameters.task)) return null;
  try {
    return nodeOf(parameters);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

function taskFiles(parameters: HarnessParameters, node: TaskNode | null): Source[] {
  const others = (node?.files ?? []).filter((file) => file !== parameters.task);
  return [
    { reference: parameters.task, path: "task" },
    ...others.map((reference, index) => ({ reference, path: `task.${index}` })),
  ];
}

function references(
  { data, num_fewshot: shots }: HarnessParameters,
  node: TaskNode | null,
): { readonly test: readonly string[]; readonly fewshot: readonly string[] } {
  const needsExamples = node !== null &&
    leaves(node).some(({ config }) => (shots ?? config.num_fewshot ?? 0) > 0);
  // Files that an experiment names replace all that the task names: they belong together.
  const own = data.test === undefined && node !== null ? taskReferences(node, needsExamples) : null;
  return {
    test: [data.test ?? own?.test ?? []].flat(),
    fewshot: [data.fewshot ?? own?.fewshot ?? []].flat(),
  };
}

/** The split whose examples a task needs and that its questions are not of; null if there is none. */
function missingExamples({ num_fewshot: shots }: HarnessParameters, node: TaskNode): string | null {
  const needy = leaves(node).find((task) =>
    (shots ?? task.config.num_fewshot ?? 0) > 0 &&
    ![null, testedSplitOf(task)].includes(examplesSplitOf(task))
  );
  return needy === undefined ? null : examplesSplitOf(needy);
}

function listed(references: readonly string[], path: string): Source[] {
  const [only] = references;
  return references.length === 1 && only !== undefined
    ? [{ reference: only, path }]
    : references.map((reference, index) => ({ reference, path: `${path}.${index}` }));
}

async function filesOf(
  parameters: HarnessParameters,
  node: TaskNode,
  { resolve }: EvaluationEnvironment,
): Promise<AskedFiles> {
  const { test, fewshot } = references(parameters, node);
  const paths = async (list: readonly string[]) =>
    (await Promise.all(list.map(resolve))).flat().flatMap(filesUnder);
  return {
    test: await paths(test),
    fewshot: fewshot.length === 0 ? null : await paths(fewshot),
  };
}

/** A folder stands for all files in it, also deeper, in order of their names. */
function filesUnder(path: string): string[] {
  if (statOrNull(path)?.isDirectory !== true) return [path];
  const names = [...Deno.readDirSync(path)].map(({ name }) => name)
    .filter((name) => !name.startsWith(".")).sort();
  return names.flatMap((name) => filesUnder(`${path}/${name}`));
}

/** Settings of generation that the experiment changes. */
function withGeneration(node: TaskNode, { generation }: HarnessParameters): TaskNode {
  if (generation === undefined) return node;
  if (node.kind === "group") {
    const change = (child: TaskNode) => withGeneration(child, { generation } as HarnessParameters);
    return { ...node, children: node.children.map(change) };
  }
  const { config } = node;
  return {
    ...node,
    config: { ...config, generation_kwargs: { ...config.generation_kwargs, ...generation } },
  };
}

function isSampled(settings: NonNullable<HarnessParameters["generation"]>): boolean {
  return settings.do_sample ?? (settings.temperature ?? 0) > 0;
}

function metricsOf(
  { record, bad, truncated, long }: Evaluated,
  { name, task }: { readonly name: string; readonly task: string },
  parameters: HarnessParameters,
): Record<string, Metric> {
  const metrics: Record<string, Metric> = {};
  const limit = parameters.limit === undefined ? "" : `, limit ${parameters.limit}`;
  const bos = parameters.bos === "tokenizer" ? "" : `, bos ${parameters.bos}`;
  const shots = record.tasks[0]?.num_fewshot ?? 0;
  const source = (record.tasks[0]?.config.metadata as { protocol?: unknown } | null)?.protocol;
  const [main] = record.groups;
  const isFew = main === undefined || record.tasks.length <= MOST_SUBTASKS;
  const tasks = parameters.subtasks ?? isFew ? record.tasks : [];
  for (const entry of [...record.groups, ...tasks]) {
    const own = "task" in entry ? entry.task : entry.group;
    // The metric has the name that the experiment gives, the protocol that of the task.
    const asked = own.startsWith(name) ? task + own.slice(name.length) : own;
    const version = entry.version === null ? "" : ` v${entry.version}`;
    for (const [key, { value, standardError }] of Object.entries(entry.metrics)) {
      const [metric = "", filter = "none"] = key.split(",");
      // Of smaller groups the file of the tasks has them.
      if (entry !== main && metric.endsWith(macroName(""))) continue;
      const suffix = filter === "none" ? "" : `_${filter}`;
      metrics[`${own}_${metric}${suffix}`.replaceAll(/[^A-Za-z0-9_]/g, "_")] = {
        value,
        ...(standardError === null ? {} : { standardError }),
        protocol: `${source ?? "lm-eval"} ${asked}${version}, ${shots}-shot${limit}${bos}`,
      };
    }
  }
  const effective = record.tasks.reduce((sum, task) => sum + task.effective, 0);
  return {
    ...metrics,
    [`${name}_items`]: { value: effective },
    [`${name}_truncated_items`]: { value: truncated },
    [`${name}_left_out_items`]: { value: bad + long },
  };
}
