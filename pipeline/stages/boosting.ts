/**
 * What the scheme `xgblora` makes of a training stage: boosters in rounds instead of one adapter.
 *
 * @module
 */

import type { HostAdapter } from "../adapters/adapter.ts";
import { formNamed } from "../adapters/forms.ts";
import type { AdapterOutline } from "../adapters/placement.ts";
import { adapterParameters } from "../adapters/plan.ts";
import type { StageOutcome } from "../graph/stage.ts";
import { zeroModule } from "../initializers/zero.ts";
import { type LinearShape, modelLinears } from "../models/architecture.ts";
import type { ModelOutline } from "../models/language_model.ts";
import { boostedShape, type Boosters } from "../training/boosters.ts";
import type { Rounds } from "../training/rounds.ts";
import {
  blocksOfRound,
  drawBlocks,
  type XgbloraOptions,
  xgbloraRounds,
} from "../training/xgblora.ts";
import type { InitializeParameters } from "./initialize.ts";

/** A stage above, as `Stage.check` sees it. */
interface Upstream {
  readonly stage: string;
  readonly parameters: unknown;
}

/** Mistakes of a scheme that the stage's other parameters and the stages above show. */
export function checkScheme(
  scheme: XgbloraOptions | undefined,
  steps: number,
  [source]: readonly Upstream[],
): { readonly path: string; readonly message: string }[] {
  if (scheme === undefined) return [];
  const problems = [];
  if (steps % scheme.rounds !== 0) {
    problems.push({
      path: "scheme.rounds",
      message:
        `${scheme.rounds} rounds do not divide ${steps} steps, but all rounds have equally ` +
        `many; make steps a multiple of rounds`,
    });
  }
  const obstacle = obstacleTo(source);
  if (obstacle !== null) {
    problems.push({
      path: "scheme",
      message: `A booster is a pair of factors that starts at B = 0, but ${obstacle}`,
    });
  }
  return problems;
}

/** What keeps an adapter from being the first booster of a scheme; null if nothing does. */
function obstacleTo(source: Upstream | undefined): string | null {
  if (source?.stage !== "initialize") {
    return "this adapter has been trained before; take it from an initialize stage";
  }
  const { form, init } = source.parameters as InitializeParameters;
  if (form === "full") return "the form full has no adapter; use a form of pairs, such as lora";
  if (!formNamed(form).pair) {
    return `the form ${form} is a single matrix; use a form of pairs, such as qa-blora`;
  }
  if ("peft" in init) return "this adapter is read from a folder; use init: zero";
  return init.method === "zero" ? null : `init is ${init.method}; use init: zero`;
}

/** The adapter that training leaves, without its values: itself, unless there is a scheme. */
export function boostedOutline<Outline extends AdapterOutline>(
  adapter: Outline,
  scheme: XgbloraOptions | undefined,
): Outline {
  if (scheme === undefined) return adapter;
  const modules = new Map(
    [...adapter.modules].map(([path, { shape }]) => [path, { shape: boostedShape(shape, scheme) }]),
  );
  return { ...adapter, modules };
}

/** What a scheme is applied to. */
interface BoostedSubject {
  readonly source: ModelOutline;
  readonly adapter: HostAdapter | null;
  readonly scheme?: XgbloraOptions | undefined;
}

/**
 * The rounds of training with a scheme; null without one. The first booster starts as the adapter does,
 * those after it like it.
 *
 * @throws {UserError} If the scheme trains more blocks than the model has.
 */
export function roundsOf(
  boosters: Boosters | null,
  { source, adapter, scheme }: BoostedSubject,
  run: { readonly steps: number; readonly seed: number; log(line: string): void },
): Rounds | null {
  if (boosters === null || adapter === null || scheme === undefined) return null;
  const layers = adaptedLayers(source, adapter);
  return xgbloraRounds(scheme, {
    ...run,
    boosters,
    blocks: source.config.layers,
    layers: layers.map(({ path, layer }) => ({ path, block: layer })),
    draw(path, round) {
      const first = adapter.modules.get(path);
      const linear = layers.find((linear) => linear.path === path);
      const booster = first !== undefined && linear !== undefined && round > 0
        ? zeroModule(linear, first.shape, run.seed, round)
        : first;
      if (!booster?.a) throw new RangeError(`${path} has no pair of factors`);
      return booster.a;
    },
  });
}

/** What a scheme trained in all its rounds; nothing without one. */
export function schemeFacts(
  { source, adapter, scheme }: BoostedSubject,
  seed: number,
): NonNullable<StageOutcome["facts"]> {
  if (adapter === null || scheme === undefined) return {};
  const { rounds, method } = scheme;
  const blocks = source.config.layers;
  const count = blocksOfRound(scheme, blocks);
  let parameters = 0;
  for (let round = 0; round < rounds; round++) {
    const drawn = new Set(drawBlocks({ seed, round, blocks, count }));
    for (const { path, layer } of adaptedLayers(source, adapter)) {
      const module = adapter.modules.get(path);
      if (module !== undefined && drawn.has(layer)) parameters += adapterParameters(module.shape);
    }
  }
  return {
    scheme: `${method} (a reconstruction)`,
    rounds,
    blocks_per_round: count,
    trained_parameters: parameters,
  };
}

function adaptedLayers({ config }: ModelOutline, { modules }: AdapterOutline): LinearShape[] {
  return modelLinears(config).filter(({ path }) => modules.has(path));
}
