/**
 * What to change so that a stage fits.
 *
 * @module
 */

import type { Plan, PlannedStage } from "../graph/plan.ts";
import type { MemorySetting, Stage } from "../graph/stage.ts";

/** Parameters to use instead of those of a plan, by key of the stage. */
export type Changes = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

/** What a message says at its end. */
export interface Remedy {
  /** "set tuned.batch_size to 2". */
  readonly sentence: string;
  /** The first setting to change, for the position of the message; null if none helps. */
  readonly path: string | null;
}

/** What a search needs to know. */
export interface RemedyContext {
  readonly stages: readonly Stage[];
  /** Whether the stage in question fits with some parameters changed. */
  fits(changes: Changes): Promise<boolean>;
}

/** A setting of a stage or of one that it reads. */
interface Candidate {
  readonly key: string;
  /** "tuned.batch_size". */
  readonly path: string;
  readonly setting: MemorySetting;
  /** Values to try, those that need most first. */
  readonly values: readonly unknown[];
}

/**
 * The largest value of the first setting that makes the stage fit by itself; if none does, as many
 * settings as it takes, each at its smallest but the last.
 */
export async function findRemedy(
  stage: PlannedStage,
  plan: Plan,
  context: RemedyContext,
): Promise<Remedy> {
  const candidates = candidatesOf(stage, plan, context.stages);
  for (const candidate of candidates) {
    const found = await largestFitting(candidate, [], plan, context);
    if (found !== null) return remedyOf([found]);
  }
  const smallest: Change[] = [];
  for (const candidate of candidates) {
    const found = await largestFitting(candidate, smallest, plan, context);
    if (found !== null) return remedyOf([...smallest, found]);
    smallest.push({ ...candidate, value: candidate.values.at(-1) });
  }
  return {
    sentence: "no setting makes it fit: use a smaller model, or a machine with more memory",
    path: null,
  };
}

type Change = Candidate & { readonly value: unknown };

function candidatesOf(
  { key }: PlannedStage,
  plan: Plan,
  stages: readonly Stage[],
): Candidate[] {
  const candidates: Candidate[] = [];
  for (let at: string | undefined = key; at !== undefined;) {
    const planned = plan.stages.find((stage) => stage.key === at);
    if (planned === undefined) break;
    const { identity, id } = planned;
    const stage = stages.find(({ name }) => name === identity.stage);
    for (const setting of stage?.memorySettings ?? []) {
      const values = setting.smaller(valueAt(identity.parameters, setting.path));
      const path = `${id.split(".")[0]}.${setting.path}`;
      if (values.length > 0) candidates.push({ key: at, path, setting, values });
    }
    at = identity.upstream[0];
  }
  return candidates;
}

/** By bisection: a smaller value never needs more. */
async function largestFitting(
  candidate: Candidate,
  others: readonly Change[],
  plan: Plan,
  { fits }: RemedyContext,
): Promise<Change | null> {
  const { values } = candidate;
  const fitsAt = (index: number) =>
    fits(changesOf([...others, { ...candidate, value: values[index] }], plan));
  if (!await fitsAt(values.length - 1)) return null;
  let [first, last] = [0, values.length - 1]; // the first that fits is in between
  while (first < last) {
    const middle = Math.floor((first + last) / 2);
    if (await fitsAt(middle)) last = middle;
    else first = middle + 1;
  }
  return { ...candidate, value: values[last] };
}

function changesOf(changes: readonly Change[], plan: Plan): Changes {
  const byKey = new Map<string, Record<string, unknown>>();
  for (const { key, setting, value } of changes) {
    const planned = plan.stages.find((stage) => stage.key === key);
    const parameters = byKey.get(key) ?? planned?.identity.parameters;
    byKey.set(key, withValue(parameters, setting.path.split("."), value));
  }
  return byKey;
}

function remedyOf(changes: readonly Change[]): Remedy {
  return {
    sentence: changes.map(({ path, value }) => `set ${path} to ${JSON.stringify(value)}`)
      .join(" and "),
    path: changes[0]?.path ?? null,
  };
}

function valueAt(parameters: unknown, path: string): unknown {
  return path.split(".").reduce(
    (value, name) => (value as Record<string, unknown> | undefined)?.[name],
    parameters,
  );
}

function withValue(
  parameters: unknown,
  [name = "", ...rest]: readonly string[],
  value: unknown,
): Record<string, unknown> {
  const before = parameters as Record<string, unknown>;
  return { ...before, [name]: rest.length === 0 ? value : withValue(before[name], rest, value) };
}
