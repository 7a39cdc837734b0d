// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Two models on the same tokens: how far apart their logits are.
 *
 * @module
 */

import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { Device } from "../../kernels/device.ts";
import { BatchModel } from "../models/batch_model.ts";
import type { ModelConfig } from "../models/config.ts";
import { freeLanguageModel } from "../models/language_model.ts";
import { writeRows } from "../training/batch.ts";
import { type ArtifactOutline, rehearseFrozen } from "./outline.ts";
import { loadFrozen, type TrainedModel } from "./trained_model.ts";

/** Logits kept in host memory at most (64 MiB of f32); fewer tokens are compared above it. */
const KEPT_LOGITS = 1 << 24;

/** Tokens whose logits exist on the device at once. */
const ROWS_AT_ONCE = 128;

/** How two models differ. */
export interface Comparison {
  readonly largestDifference: number;
  readonly largestLogit: number;
  readonly perplexityBefore: number;
  readonly perplexityAfter: number;
  /** Tokens whose logits were compared. */
  readonly tokens: number;
}

/** Runs one model, then the other, on each row alone. */
export async function compareModels(
  device: Device,
  before: TrainedModel,
  after: TrainedModel,
  rows: readonly Uint32Array[],
): Promise<Comparison> {
  const limit = comparedTokens(before.model.config);
  const kept: Uint32Array[] = [];
  let tokens = 0;
  for (const row of rows) {
    const cut = row.subarray(0, limit - tokens);
    if (cut.length >= 2) kept.push(cut);
    tokens += cut.length;
  }
  const first = await run(device, before, kept, null);
  const second = await run(device, after, kept, first.logits);
  return {
    largestDifference: second.largestDifference,
    largestLogit: first.largestLogit,
    perplexityBefore: first.perplexity,
    perplexityAfter: second.perplexity,
    tokens: kept.reduce((sum, row) => sum + row.length, 0),
  };
}

/** Tokens that can be compared at most. */
function comparedTokens({ vocabSize }: ModelConfig): number {
  return Math.floor(KEPT_LOGITS / vocabSize);
}

/**
 * The allocations of {@linkcode compareModels} for `total` tokens in rows of at most `longest`, in its
 * order.
 */
export function rehearseComparison(
  device: CountingDevice,
  before: ArtifactOutline,
  after: ArtifactOutline,
  { longest, total }: { readonly longest: number; readonly total: number },
): void {
  const tokens = Math.min(total, comparedTokens(before.model.config));
  const length = Math.min(longest, tokens);
  const { config } = before.model;
  const pieces = 4 * ROWS_AT_ONCE * config.vocabSize;
  device.ledger.take("host", "logits of the model before", 4 * tokens * config.vocabSize);
  for (const [phase, outline] of [["model before", before], ["model after", after]] as const) {
    device.ledger.phase(phase);
    const model = rehearseFrozen(device, outline);
    const batch = new BatchModel(model, { batchSize: 1, length });
    const logits = batch.allocateLogits(ROWS_AT_ONCE);
    for (let token = 0; token < tokens; token += ROWS_AT_ONCE) {
      device.ledger.take("host", "piece of logits", pieces).drop();
    }
    logits.release();
    batch.release();
    freeLanguageModel(model);
  }
}

interface Run {
  readonly logits: Float32Array[];
  readonly largestLogit: number;
  readonly largestDifference: number;
  readonly perplexity: number;
}

async function run(
  device: Device,
  trained: TrainedModel,
  rows: readonly Uint32Array[],
  reference: readonly Float32Array[] | null,
): Promise<Run> {
  const model = await loadFrozen(device, trained);
  const length = Math.max(...rows.map((row) => row.length));
  const batch = new BatchModel(model, { batchSize: 1, length });
  const logits: Float32Array[] = [];
  let largestLogit = 0;
  let largestDifference = 0;
  let loss = 0;
  let targets = 0;
  try {
    for (const tokens of rows) {
      writeRows(batch, [{ tokens, targets: new Uint8Array(tokens.length).fill(1, 1) }], 1);
      device.run(batch.forward);
      for await (const piece of batch.logits(ROWS_AT_ONCE, tokens.length)) {
        const expected = reference?.[logits.length];
        for (let index = 0; index < piece.length; index++) {
          largestLogit = Math.max(largestLogit, Math.abs(piece[index]!));
          if (expected === undefined) continue;
          const difference = Math.abs(piece[index]! - expected[index]!);
          // Once NaN, it stays NaN: no comparison with NaN is true.
          if (difference > largestDifference || Number.isNaN(difference)) {
            largestDifference = difference;
          }
        }
        logits.push(reference === null ? Float32Array.from(piece) : new Float32Array());
      }
      const losses = await device.readFloats(batch.losses);
      for (let index = 0; index < tokens.length - 1; index++) loss += losses[index]!;
      targets += tokens.length - 1;
    }
  } finally {
    batch.release();
    freeLanguageModel(model);
  }
  return { logits, largestLogit, largestDifference, perplexity: Math.exp(loss / targets) };
}
