/**
 * Evaluates a task or a group: reads, asks, counts.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { RequestModel } from "../requests/request.ts";
import { askModel, type LongPromptPolicy } from "./ask_model.ts";
import { BadItems } from "./bad_items.ts";
import { buildFilters } from "./filters.ts";
import { type Item, responsesOf } from "./item.ts";
import { itemMetrics } from "./item_metrics.ts";
import { ItemRate } from "./item_rate.ts";
import { type AskedFiles, type AskOptions, type PlannedTask, planTask } from "./plan_task.ts";
import type { EvaluationRecord, Sample } from "./sample.ts";
import { samplesOf, summarizeGroup, summarizeTask } from "./summarize.ts";
import { TaskFiles } from "./task_data.ts";
import { groups, leaves, type TaskNode } from "./task_node.ts";

/** How tasks are evaluated. */
export interface EvaluateOptions extends AskOptions {
  readonly onLongPrompt: LongPromptPolicy;
  readonly bootstrapIterations: number;
  /** `done` of `total` items are answered; `running` is the mean of the first metric so far. */
  readonly report: (done: number, total: number, running: Readonly<Record<string, number>>) => void;
}

/** What an evaluation found. */
export interface Evaluated {
  readonly record: EvaluationRecord;
  /** By task, filter by filter in the order of items. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  /** Rows that could not be asked. */
  readonly bad: number;
  /** Items whose prompt was cut from the left, and counted. */
  readonly truncated: number;
  /** Items whose prompt was too long, and left out. */
  readonly long: number;
}

/**
 * Asks a model all items of a task or group together.
 *
 * @throws {UserError} If the data does not fit the task.
 */
export async function evaluateTask(
  node: TaskNode,
  files: AskedFiles,
  model: RequestModel,
  options: EvaluateOptions,
): Promise<Evaluated> {
  const reader = new TaskFiles();
  const planned: PlannedTask[] = [];
  for (const task of leaves(node)) planned.push(await planTask(task, files, reader, options));
  const items = planned.flatMap((plan) => plan.items);
  const running = new RunningMean();
  const refused = new Set<Item>();
  const bad = new BadItems(options.onBadItem, options.log);
  const rate = new ItemRate();
  let done = 0;
  const report = () => {
    const perSecond = rate.next(done, performance.now());
    options.report(done, items.length, {
      ...running.values(),
      ...(perSecond === null ? {} : { "items/s": perSecond }),
    });
  };
  report();
  await askModel(model, items, options.onLongPrompt, {
    answered(item) {
      running.add(item);
      done++;
      report();
    },
    refused(item, message) {
      bad.add(item.document.place, message);
      refused.add(item);
    },
  });

  const samples = new Map<string, readonly Sample[]>();
  const tasks = planned.map((plan) => {
    const kept = keptItems(plan, refused, options);
    samples.set(plan.task.name, samplesOf(plan, kept));
    return summarizeTask(plan, samples.get(plan.task.name) ?? [], options.bootstrapIterations);
  });
  const byName = new Map(tasks.map((record) => [record.task, record]));
  const cut = items.filter(({ truncated }) => truncated > 0).length;
  const isSkipped = options.onLongPrompt === "skip";
  return {
    record: { tasks, groups: groups(node).map((group) => summarizeGroup(group, byName)) },
    samples,
    bad: planned.reduce((sum, plan) => sum + plan.bad, bad.count),
    truncated: isSkipped ? 0 : cut,
    long: isSkipped ? cut : 0,
  };
}

function keptItems(
  { task, items }: PlannedTask,
  refused: ReadonlySet<Item>,
  { onLongPrompt, log }: EvaluateOptions,
): readonly Item[] {
  const kept = items.filter((item) => {
    const { document, truncated } = item;
    if (refused.has(item)) return false;
    if (truncated === 0 || onLongPrompt !== "skip") return true;
    log(`left out ${document.place}: the prompt is ${truncated} tokens longer than the context`);
    return false;
  });
  if (kept.length > 0) return kept;
  throw new UserError(
    `The task ${task.name} has no item left: the model refuses all, or no prompt fits its context; ask ` +
      "with fewer examples, or set on_long_prompt: truncate",
  );
}

/** Mean of the first metric of the items that are answered, if it is one number per item. */
class RunningMean {
  #name = "";
  #sum = 0;
  #count = 0;

  add(item: Item): void {
    const [filter] = buildFilters(item.task);
    if (filter === undefined) return;
    const filtered = responsesOf(item).map((repeats) => filter.apply(repeats));
    const [first] = Object.entries(itemMetrics(item, filtered));
    if (first === undefined || typeof first[1] !== "number") return;
    this.#name = first[0];
    this.#sum += first[1];
    this.#count++;
  }

  values(): Record<string, number> {
    return this.#count === 0 ? {} : { [this.#name]: this.#sum / this.#count };
  }
}
