/**
 * XGBLoRA (arXiv 2410.19694): gradient boosting with adapters, in the paper of rank 1. In every
 * round a booster on a random choice of transformer blocks is trained for a few steps, merged into what
 * the model computes, and the next one starts on what is then left to learn.
 *
 * A reconstruction: the paper's text and code were not at hand, so this follows its abstract and its
 * public reviews. `docs/methods.md` lists what they leave open and how it was decided.
 *
 * @module
 */

import { z } from "zod";
import { RandomStream } from "../../kernels/random.ts";
import { UserError } from "../errors.ts";
import type { Boosters } from "./boosters.ts";
import type { Rounds } from "./rounds.ts";

/** Schema of `scheme:`. */
export const XGBLORA = z.strictObject({
  method: z.literal("xgblora"),
  rounds: z.int().positive()
    .describe("Boosters that are trained and merged, one after the other; divides `steps`."),
  layers: z.union([z.literal("all"), z.int().positive()]).default("all").describe(
    "Transformer blocks that a round trains, drawn anew for each (the paper's best for 32: 11).",
  ),
  penalty: z.number().nonnegative().default(0)
    .describe("Factor on |A|² + |B|² of the round's boosters, which is added to the loss."),
  step_size: z.number().positive().default(1)
    .describe("Factor on a booster's product when it is merged; the paper used 1."),
});

/** Options of the scheme. */
export type XgbloraOptions = z.output<typeof XGBLORA>;

/**
 * The blocks that a round trains, ascending: `count` of `blocks`, each choice equally likely.
 *
 * @example
 * ```ts
 * import { drawBlocks } from "./xgblora.ts";
 *
 * const drawn = drawBlocks({ seed: 1, round: 0, blocks: 4, count: 4 });
 * if (drawn.join() !== "0,1,2,3") throw new Error("all of them");
 * ```
 */
export function drawBlocks(
  { seed, round, blocks, count }: {
    readonly seed: number;
    readonly round: number;
    readonly blocks: number;
    readonly count: number;
  },
): number[] {
  const order = new RandomStream(seed, "xgblora blocks", round).permutation(blocks);
  return [...order.subarray(0, count)].sort((left, right) => left - right);
}

/**
 * How many blocks a round trains.
 *
 * @throws {UserError} If that is more than the model has.
 */
export function blocksOfRound({ layers }: XgbloraOptions, blocks: number): number {
  if (layers === "all") return blocks;
  if (layers <= blocks) return layers;
  throw new UserError(
    `scheme.layers is ${layers}, but the model has ${blocks} blocks to draw from; give at most ` +
      `${blocks}, or all`,
  );
}

/** What {@linkcode xgbloraRounds} needs besides the options of the scheme. */
export interface BoostingRun {
  readonly boosters: Boosters;
  /** Optimizer steps of all rounds together. */
  readonly steps: number;
  readonly seed: number;
  /** Transformer blocks of the model. */
  readonly blocks: number;
  /** Adapted linear layers, and the block that each is in. */
  readonly layers: readonly { readonly path: string; readonly block: number }[];
  /** How the A of a layer's booster starts. */
  draw(path: string, round: number): Float32Array;
  /** Called with a line per round. */
  log(line: string): void;
}

/**
 * The rounds of the scheme. Blocks that a round does not train have boosters that are zero in both
 * factors, which is where gradient descent stays: their gradients, moments and decay are zero too.
 *
 * @throws {RangeError} If the rounds do not divide the steps.
 */
export function xgbloraRounds(options: XgbloraOptions, run: BoostingRun): Rounds {
  const { rounds } = options;
  const { boosters, steps, seed, blocks } = run;
  if (steps % rounds !== 0) throw new RangeError(`${rounds} rounds do not divide ${steps} steps`);
  const count = blocksOfRound(options, blocks);
  return {
    steps: steps / rounds,
    penalty: options.penalty,
    settings: options,
    state: boosters.state,
    begin(round) {
      const drawn = drawBlocks({ seed, round, blocks, count });
      run.log(`round ${round + 1} of ${rounds} trains ${drawn.length} blocks: ${drawn.join(", ")}`);
      for (const { path, block } of run.layers) {
        if (drawn.includes(block)) boosters.start(path, run.draw(path, round));
      }
    },
    end: (round) => boosters.join(round),
  };
}
