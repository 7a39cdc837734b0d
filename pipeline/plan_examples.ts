/**
 * What the training stages of a plan will learn from, before anything runs.
 *
 * @module
 */

import { resolve } from "node:path";
import { z } from "zod";
import type { Example } from "./data/dataset.ts";
import { RowExamples } from "./data/examples/row_examples.ts";
import { loadDataset, TRAINING_DATA, type TrainingData } from "./data/load_dataset.ts";
import { resolveSource } from "./data/source.ts";
import { Tokenizer } from "./data/tokenizer.ts";
import { UserError } from "./errors.ts";
import { storeFolder } from "./experiment.ts";
import type { Plan, PlannedStage } from "./graph/plan.ts";
import { Store } from "./graph/store.ts";
import type { HubOptions } from "./hub/resolve.ts";
import type { ExamplePiece, ExampleSet, ShownExample } from "./reports/examples_text.ts";
import { stageLabels } from "./reports/plan_text.ts";

/** How to show examples. */
export interface PlanExamplesOptions {
  /**
   * Examples of each dataset.
   *
   * @default 3
   */
  readonly count?: number;
  /**
   * Folder of results, as for planning.
   *
   * @default "runs"
   */
  readonly out?: string;
  /** How sources on the Hub are downloaded. */
  readonly hub?: HubOptions;
}

/** Parameters by which a stage that trains is known. */
const TRAINING = z.object({
  steps: z.int(),
  length: z.int(),
  data: TRAINING_DATA,
  evaluation: TRAINING_DATA.optional(),
});

/**
 * The first examples of every dataset that a plan trains on, as training will see them; each once,
 * however many stages share it. What is wrong with a dataset is said in its place.
 */
export async function planExamples(
  plan: Plan,
  options: PlanExamplesOptions = {},
): Promise<ExampleSet[]> {
  using store = await Store.open(storeFolder(resolve(options.out ?? "runs")));
  const labels = stageLabels(plan);
  const sets = new Map<string, { stages: string[]; make: () => Promise<ExampleSet> }>();
  for (const stage of plan.stages) {
    const parameters = TRAINING.safeParse(stage.identity.parameters);
    if (!parameters.success) continue;
    const { model, folder } = await tokenizerOrigin(stage, plan, store, options.hub);
    for (const key of ["data", "evaluation"] as const) {
      const data = parameters.data[key];
      if (data === undefined) continue;
      const { length } = parameters.data;
      const identity = JSON.stringify([key, data, length, model]);
      const stages: string[] = sets.get(identity)?.stages ?? [];
      stages.push(labels.get(stage.key) ?? stage.id);
      const make = () => firstExamples({ stages, key, data, length, folder }, stage, plan, options);
      sets.set(identity, { stages, make });
    }
  }
  const made: ExampleSet[] = [];
  for (const { make } of sets.values()) made.push(await make());
  return made;
}

interface Wanted {
  readonly stages: readonly string[];
  readonly key: string;
  readonly data: TrainingData;
  readonly length: number;
  readonly folder: string | null;
}

async function firstExamples(
  { stages, key, data, length, folder }: Wanted,
  stage: PlannedStage,
  plan: Plan,
  { count = 3, hub }: PlanExamplesOptions,
): Promise<ExampleSet> {
  const set = { stages, key, examples: [], remarks: [], problem: null };
  if (folder === null) {
    return { ...set, problem: "The tokenizer is made by a stage that has not run yet." };
  }
  try {
    const tokenizer = Tokenizer.open(folder);
    const dataset = await loadDataset(
      data,
      tokenizer,
      { length, folder, limit: count },
      (reference) => resolveSource(pinnedReference(stage, reference), plan.experiment.folder, hub),
    );
    const examples = Array.from({ length: Math.min(count, dataset.size) }, (_, index) => {
      const place = dataset instanceof RowExamples
        ? dataset.place(index)
        : `window ${index + 1} of ${dataset.size}`;
      return shownExample(dataset.example(index), place, tokenizer);
    });
    return { ...set, examples, remarks: dataset.remarks ?? [] };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...set, problem: error.message };
  }
}

/** The text of every run of tokens that are learned, or not, alike. */
function shownExample(
  { tokens, targets }: Example,
  place: string,
  tokenizer: Tokenizer,
): ShownExample {
  const pieces: ExamplePiece[] = [];
  let before = "";
  for (let start = 0, end = 0; start < tokens.length; start = end) {
    const learned = targets[start] === 1;
    while (end < tokens.length && (targets[end] === 1) === learned) end++;
    // Decoded from the beginning, since some tokenizers drop a space there.
    const all = tokenizer.decode(tokens.subarray(0, end));
    const text = all.startsWith(before)
      ? all.slice(before.length)
      : tokenizer.decode(tokens.subarray(start, end));
    pieces.push({ text, learned });
    before = all;
  }
  const learned = targets.reduce((sum, target) => sum + target, 0);
  return { place, tokens: tokens.length, learned, pieces };
}

/** Where a stage will have its tokenizer from. */
interface TokenizerOrigin {
  /** The model that the stages above begin with: a reference, or the key of a stage that makes it. */
  readonly model: string;
  /** Null if it does not exist yet. */
  readonly folder: string | null;
}

/** The nearest result above a stage that has a tokenizer, or else the model that these begin with. */
async function tokenizerOrigin(
  stage: PlannedStage,
  plan: Plan,
  store: Store,
  hub: HubOptions | undefined,
): Promise<TokenizerOrigin> {
  let folder: string | null = null;
  for (let here = stage;;) {
    const { key, identity: { sources: { model }, upstream: [from] } } = here;
    if (folder === null && (await store.inspect(key)).state === "complete") {
      const result = await store.artifact(key);
      if (hasTokenizer(result.folder)) folder = result.folder;
    }
    if (model !== undefined) {
      const reference = model.pinned ?? model.reference;
      folder ??= (await resolveSource(reference, plan.experiment.folder, hub))[0] ?? null;
      return { model: reference, folder };
    }
    const above = plan.stages.find((other) => other.key === from);
    if (above === undefined) return { model: key, folder };
    here = above;
  }
}

function hasTokenizer(folder: string): boolean {
  try {
    Tokenizer.open(folder);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

function pinnedReference({ identity: { sources } }: PlannedStage, reference: string): string {
  const found = Object.values(sources).find((source) => source.reference === reference);
  return found?.pinned ?? reference;
}
