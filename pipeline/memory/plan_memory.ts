/**
 * The memory of a plan: what every stage that is to run will hold, from configurations and headers
 * alone; whether it fits; and, where it does not, what to change.
 *
 * @module
 */

import type { MemoryModel } from "../../kernels/counting/memory_model.ts";
import { resolveSource } from "../data/source.ts";
import { UserError } from "../errors.ts";
import type { Problem } from "../graph/experiment.ts";
import { pinnedReferences } from "../graph/manifest.ts";
import type { Plan, PlannedStage } from "../graph/plan.ts";
import type { Forecast, Stage } from "../graph/stage.ts";
import type { MemoryLimits } from "./limits.ts";
import { type Changes, findRemedy } from "./remedy.ts";
import { fits, shortage } from "./shortage.ts";
import { rehearse, type StageMemory } from "./stage_memory.ts";

/** The parameter of stages that train which trades time for memory. */
const CHECKPOINTING = "activation_checkpointing";

/** Memory of one planned stage. */
export interface PlannedMemory extends StageMemory {
  /** Where activations can be computed again: whether they are, and the memory if not and if so. */
  readonly checkpointing: {
    readonly chosen: boolean;
    readonly off: StageMemory;
    readonly on: StageMemory;
  } | null;
}

/** A plan that knows its memory. */
export interface PlanWithMemory extends Plan {
  /** By key, of stages that are not cached; absent where nothing can be foreseen. */
  readonly memory: ReadonlyMap<string, PlannedMemory>;
  /** Stages that cannot fit, one sentence each. */
  readonly shortages: readonly Problem[];
}

/** What planning memory needs to know. */
export interface MemoryContext {
  readonly stages: readonly Stage[];
  /** How the device uses memory; null if no stage computes on one. */
  readonly model: MemoryModel | null;
  readonly limits: MemoryLimits;
}

/**
 * Plans the memory of all stages that are not cached, and decides `activation_checkpointing: auto`:
 * off where it fits into what is free, else on.
 */
export async function planMemory(plan: Plan, context: MemoryContext): Promise<PlanWithMemory> {
  const forecasts = new Forecasts(plan, context.stages);
  const memory = new Map<string, PlannedMemory>();
  const stages: PlannedStage[] = [];
  const recipes = recipesOf(plan);
  const known = new Map<number | undefined, Promise<PlannedMemory | null>>();
  for (const stage of plan.stages) {
    if (stage.decision.action === "cached") {
      stages.push(stage);
      continue;
    }
    const recipe = recipes.get(stage.key);
    const found = known.get(recipe) ?? memoryOf(stage, forecasts, context);
    known.set(recipe, found);
    const planned = await found;
    stages.push(planned === null ? stage : resolved(stage, planned));
    if (planned !== null) memory.set(stage.key, planned);
  }
  const decided = { ...plan, stages };
  const shortages = new Map<string, Problem>();
  for (const stage of stages) {
    const lacking = shortage(memory.get(stage.key) ?? null, context);
    if (lacking === null) continue;
    const remedy = await findRemedy(stage, decided, {
      stages: context.stages,
      fits: async (changes) => {
        const forecast = await new Forecasts(decided, context.stages).of(stage.key, changes);
        const memory = forecast && attempt(() => rehearse(forecast, context.model));
        return memory !== null && fits(memory, context.limits);
      },
    });
    const message = `"${stage.id}" cannot run: ${lacking}; ${remedy.sentence}`;
    const position = plan.experiment.position(remedy.path ?? stage.id.split(".")[0] ?? "");
    shortages.set(message, { position, message });
  }
  return { ...decided, memory, shortages: [...shortages.values()] };
}

/**
 * A number for what decides the memory of each stage, by key: equal for stages that differ in nothing
 * but their seed.
 */
function recipesOf({ stages }: Plan): Map<string, number> {
  const numbers = new Map<string, number>();
  const recipes = new Map<string, number>();
  for (const { key, identity: { stage, parameters, upstream } } of stages) {
    const text = JSON.stringify([stage, parameters, upstream.map((key) => recipes.get(key))]);
    const number = numbers.get(text) ?? numbers.size;
    numbers.set(text, number);
    recipes.set(key, number);
  }
  return recipes;
}

async function memoryOf(
  stage: PlannedStage,
  forecasts: Forecasts,
  context: MemoryContext,
): Promise<PlannedMemory | null> {
  const use = async (changes: Changes = new Map()): Promise<StageMemory | null> => {
    const forecast = await forecasts.of(stage.key, changes);
    return forecast === null ? null : attempt(() => rehearse(forecast, context.model));
  };
  const setting = (stage.identity.parameters as Record<string, unknown>)[CHECKPOINTING];
  if (setting === undefined) {
    const memory = await use();
    return memory === null ? null : { ...memory, checkpointing: null };
  }
  const change = (value: boolean): Changes => new Map([[stage.key, { [CHECKPOINTING]: value }]]);
  const [off, on] = [await use(change(false)), await use(change(true))];
  if (off === null || on === null) return null;
  const { limits } = context;
  const now = { ...limits, host: Math.min(limits.host, limits.hostAvailable) };
  const chosen = setting === "auto" ? !fits(off, now) : setting === true;
  return { ...(chosen ? on : off), checkpointing: { chosen, off, on } };
}

/** The stage with `auto` replaced by what was decided; its key does not depend on it. */
function resolved(stage: PlannedStage, { checkpointing }: PlannedMemory): PlannedStage {
  if (checkpointing === null) return stage;
  const parameters = {
    ...stage.identity.parameters as Record<string, unknown>,
    [CHECKPOINTING]: checkpointing.chosen,
  };
  return { ...stage, identity: { ...stage.identity, parameters } };
}

/** Forecasts along the chain of `from`. */
class Forecasts {
  readonly #plan: Plan;
  readonly #stages: ReadonlyMap<string, Stage>;
  readonly #planned = new Map<string, Promise<Forecast | null>>();
  readonly #pinned: ReadonlyMap<string, string>;

  constructor(plan: Plan, stages: readonly Stage[]) {
    this.#plan = plan;
    this.#stages = new Map(stages.map((stage) => [stage.name, stage]));
    this.#pinned = pinnedReferences(plan.stages.map(({ identity }) => identity.sources));
  }

  /** Null if the stage, or one that it reads, has no forecast. */
  of(key: string, changes: Changes = new Map()): Promise<Forecast | null> {
    if (changes.size > 0) return this.#make(key, changes);
    const planned = this.#planned.get(key) ?? this.#make(key, changes);
    this.#planned.set(key, planned);
    return planned;
  }

  async #make(key: string, changes: Changes): Promise<Forecast | null> {
    const planned = this.#plan.stages.find((stage) => stage.key === key);
    const stage = this.#stages.get(planned?.identity.stage ?? "");
    if (planned === undefined || stage?.forecast === undefined) return null;
    const { parameters, upstream: [from] } = planned.identity;
    const input = from === undefined ? null : await this.of(from, changes);
    if (from !== undefined && input === null) return null;
    try {
      return await stage.forecast({
        parameters: { ...parameters as object, ...changes.get(key) },
        input: input?.outline ?? null,
        resolve: ({ reference }) =>
          resolveSource(
            this.#pinned.get(reference) ?? reference,
            this.#plan.experiment.folder,
          ),
      });
    } catch (error) {
      return nullIfExpected(error);
    }
  }
}

function attempt<Value>(action: () => Value): Value | null {
  try {
    return action();
  } catch (error) {
    return nullIfExpected(error);
  }
}

/** A stage that cannot run, whatever memory there is, says so itself, and best, when it runs. */
function nullIfExpected(error: unknown): null {
  if (error instanceof UserError) return null;
  throw error;
}
