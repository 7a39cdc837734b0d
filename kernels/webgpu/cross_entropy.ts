/**
 * Cross-entropy of a language-model head over chunks of tokens and shards of the vocabulary: the logits
 * of one chunk at a time, turned into their own gradient in place, as in Liger Kernel (Hsu et al. 2024).
 *
 * @module
 */

import { type Tensor, VIEW_ALIGNMENT } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { matmul } from "./gemm.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";
import { ScratchReuse } from "./scratch.ts";
import {
  rowLayout,
  type RowRange,
  rowRanges,
  rowsOf,
  weightLayouts,
  weightRows,
} from "./shards.ts";
import { addShard, differentiateShard, softmaxLoss } from "./softmax_loss.ts";
import { viewOf } from "./tensor.ts";
/** Bytes of logits at once: in cache on a CPU, enough tokens for a full matmul on a GPU. */
const LOGITS_BYTES = { software: 8 * 2 ** 20, generic: 128 * 2 ** 20, gpu: 128 * 2 ** 20 } as const;

/** See {@linkcode Operations.crossEntropy}. */
export function crossEntropy(
  context: KernelContext,
  { hidden, head, targets, weights, losses, gradHidden, gradHead }: Arguments<"crossEntropy">,
): Dispatch[] {
  const { profile } = context;
  const { rows: vocabulary, columns } = head;
  const tokens = targets.size;
  const gradLayout = gradHead && rowLayout(gradHead, vocabulary);
  const ranges = rowRanges(
    profile,
    vocabulary,
    [...weightLayouts(head), ...(gradLayout ? [gradLayout] : [])],
    Math.floor(profile.maxBindingBytes / 4 / VIEW_ALIGNMENT),
  );
  const chunk = chunkTokens(profile, vocabulary, (ranges[0] as RowRange).count);
  const withGradient = gradHidden !== undefined || gradHead !== undefined;
  const reuse = new ScratchReuse(context);
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < tokens; first += chunk) {
    const count = Math.min(chunk, tokens - first);
    const local = reuse.next();
    const part = (tensor: Tensor) => viewOf(tensor, first * columns, [count, columns]);
    const shards = ranges.map((ids) => ({
      ids,
      logits: local.scratch("f32", [count, ids.count]),
      head: weightRows(head, ids),
      gradHead: gradLayout && rowsOf(gradLayout, ids),
      targets,
      weights,
      losses,
      firstToken: first,
    }));
    const sums = shards.length > 1 ? local.scratch("f32", [count, 4]) : null;
    const shardReuse = new ScratchReuse(local);
    for (const shard of shards) {
      dispatches.push(
        ...linear(shardReuse.next(), {
          input: part(hidden),
          weight: shard.head,
          output: shard.logits,
        }),
        sums ? addShard(profile, shard, sums) : softmaxLoss(profile, shard, withGradient),
      );
    }
    if (!withGradient) continue;
    for (const { logits, ...shard } of shards) {
      if (sums) dispatches.push(differentiateShard(profile, { ...shard, logits }, sums));
      if (gradHidden) {
        dispatches.push(
          ...linearTransposed(shardReuse.next(), {
            gradOutput: logits,
            weight: shard.head,
            gradInput: part(gradHidden),
            accumulate: shard.ids.first > 0,
          }),
        );
      }
      if (shard.gradHead) {
        dispatches.push(
          ...matmul(shardReuse.next(), {
            left: logits,
            right: part(hidden),
            output: shard.gradHead,
            orientation: "tn",
            accumulate: true,
          }),
        );
      }
    }
  }
  return dispatches;
}

/**
 * Tokens per chunk: within the budget and a binding of the largest shard, and whole runs of
 * {@linkcode VIEW_ALIGNMENT}, so that a chunk of `hidden` can be viewed.
 */
function chunkTokens(profile: Profile, vocabulary: number, largestShard: number): number {
  const fitting = Math.min(
    LOGITS_BYTES[profile.class] / (4 * vocabulary),
    profile.maxBindingBytes / (4 * largestShard),
  );
  return Math.max(Math.floor(fitting / VIEW_ALIGNMENT), 1) * VIEW_ALIGNMENT;
}
