/**
 * From the options of an `initialize` stage to the exact shape of every adapter in a model.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { LinearName, LinearShape } from "../models/architecture.ts";
import { formNamed, type FormOptions, type QuantizationBlock } from "./forms.ts";

/** How the sum over a pool is scaled: the mean of its inputs, or their sum (QA-LoRA's paper). */
export type Pooling = "average" | "sum";

/** Everything that decides the shapes and the scale of the adapters of a model. */
export interface AdapterOptions extends FormOptions {
  readonly form: string;
  readonly alpha: number;
  /** `alpha / sqrt(rank)` instead of `alpha / rank` (Kalajdzievski 2023, "rsLoRA"). */
  readonly rankStabilized: boolean;
  readonly pooling: Pooling;
  /** `lora`: choose each layer's rank so that it has at most LoRA's parameters at `rank`. */
  readonly budget: "lora" | null;
  readonly targets: readonly LinearName[];
}

/** Shapes and scale of one layer's adapter. */
export interface AdapterShape {
  readonly pool: number;
  readonly repeat: number;
  readonly rank: number;
  /** Factor on `repeat(B A pool(x))` with *average* pooling, whatever convention is named. */
  readonly scale: number;
  /** `[rank, columns / pool]`; null for a single matrix. */
  readonly a: readonly [number, number] | null;
  /** `[rows / repeat, rank]`. */
  readonly b: readonly [number, number];
}

/**
 * Shape of the adapter on one layer, or null if the layer is not a target.
 *
 * @throws {UserError} If a width does not divide the layer, or a form that merges exactly would have
 * tiles that cut through quantization blocks.
 *
 * @example LoRA's parameters at rank 64, spent on 32-wide pools
 * ```ts
 * import { planAdapter } from "./plan.ts";
 *
 * const linear = { name: "q_proj", path: "q", layer: 0, rows: 4096, columns: 4096, bias: false } as const;
 * const shape = planAdapter(
 *   {
 *     form: "qa-lora", rank: 64, alpha: 16, lambda: 2, budget: "lora", pooling: "average",
 *     rankStabilized: false, targets: ["q_proj"],
 *   },
 *   linear,
 *   { rows: 1, columns: 32 },
 * );
 * if (shape?.rank !== 124) throw new Error("64 * 8192 / (128 + 4096) = 124.1");
 * ```
 */
export function planAdapter(
  options: AdapterOptions,
  linear: LinearShape,
  block: QuantizationBlock | null,
): AdapterShape | null {
  if (!options.targets.includes(linear.name)) return null;
  const form = formNamed(options.form);
  const { pool, repeat, rank: formRank } = form.shape(options, linear, block);
  requireDivides("pool", pool, linear.columns, "inputs", linear);
  requireDivides("repeat", repeat, linear.rows, "outputs", linear);
  if (form.mergesExactly && block !== null) {
    if (pool % block.columns !== 0 || repeat % block.rows !== 0) {
      throw new UserError(
        `The ${form.name} adapter of ${linear.path} has tiles of ${repeat} outputs x ${pool} inputs, ` +
          `which cut through its quantization blocks of ${block.rows} x ${block.columns}; make pool a ` +
          `multiple of ${block.columns} and repeat a multiple of ${block.rows}`,
      );
    }
  }
  const inputs = linear.columns / pool;
  const outputs = linear.rows / repeat;
  const rank = options.budget === "lora" && form.pair
    ? rankAtBudget(options.rank, linear, inputs, outputs)
    : formRank;
  const nominal = options.alpha /
    (options.rankStabilized ? Math.sqrt(options.rank) : options.rank);
  return {
    pool,
    repeat,
    rank,
    scale: options.pooling === "sum" ? nominal * pool : nominal,
    a: form.pair ? [rank, inputs] : null,
    b: [outputs, rank],
  };
}

/** The largest useful rank whose pair has no more parameters than LoRA's at `loraRank`. */
function rankAtBudget(
  loraRank: number,
  linear: LinearShape,
  inputs: number,
  outputs: number,
): number {
  const budget = loraRank * (linear.rows + linear.columns);
  const rank = Math.floor(budget / (inputs + outputs));
  return Math.max(1, Math.min(rank, inputs, outputs)); // rank(B A) cannot exceed either side
}

/** Trained values of an adapter of this shape. */
export function adapterParameters({ a, b }: AdapterShape): number {
  return (a === null ? 0 : a[0] * a[1]) + b[0] * b[1];
}

function requireDivides(
  name: string,
  width: number,
  size: number,
  what: string,
  linear: LinearShape,
): void {
  if (size % width === 0) return;
  throw new UserError(
    `The adapter's ${name} ${width} does not divide the ${size} ${what} of ${linear.path}; choose a ` +
      `divisor, or leave this layer out of target_modules`,
  );
}
