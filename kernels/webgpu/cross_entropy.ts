/**
 * Cross-entropy of a language-model head over chunks of tokens: the logits of one chunk at a time,
 * turned into their own gradient in place, as in Liger Kernel (Hsu et al. 2024).
 *
 * @module
 */

import { type DType, sizeOf, type Tensor, VIEW_ALIGNMENT } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { matmul } from "./gemm.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";
import { viewOf } from "./tensor.ts";
import {
  dispatchOf,
  reductions,
  rowLanes,
  splitWork,
  sumOf,
  u32,
  vectorType,
  vectorWidth,
} from "./wgsl.ts";

/** Bytes of logits at once: in cache on a CPU, enough tokens for a full matmul on a GPU. */
const LOGITS_BYTES = { software: 8 * 2 ** 20, generic: 128 * 2 ** 20, gpu: 128 * 2 ** 20 } as const;

/** See {@linkcode Operations.crossEntropy}. */
export function crossEntropy(
  context: KernelContext,
  { hidden, head, targets, weights, losses, gradHidden, gradHead }: Arguments<"crossEntropy">,
): Dispatch[] {
  const { rows: vocabulary, columns } = head;
  const tokens = targets.size;
  const chunk = chunkTokens(context.profile, vocabulary);
  const withGradient = gradHidden !== undefined || gradHead !== undefined;
  const reuse = new ScratchReuse(context);
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < tokens; first += chunk) {
    const count = Math.min(chunk, tokens - first);
    const local = reuse.next();
    const part = (tensor: Tensor) => viewOf(tensor, first * columns, [count, columns]);
    const logits = local.scratch("f32", [count, vocabulary]);
    dispatches.push(
      ...linear(local, { input: part(hidden), weight: head, output: logits }),
      softmaxLoss(context.profile, { logits, targets, weights, losses, first, withGradient }),
    );
    if (gradHidden) {
      dispatches.push(
        ...linearTransposed(local, {
          gradOutput: logits,
          weight: head,
          gradInput: part(gradHidden),
        }),
      );
    }
    if (gradHead) {
      dispatches.push(
        ...matmul(local, {
          left: logits,
          right: part(hidden),
          output: gradHead,
          orientation: "tn",
          accumulate: true,
        }),
      );
    }
  }
  return dispatches;
}

/**
 * Tokens per chunk: within the budget, and whole runs of {@linkcode VIEW_ALIGNMENT}, so that a chunk
 * of `hidden` can be viewed.
 */
function chunkTokens(profile: Profile, vocabulary: number): number {
  const fitting = LOGITS_BYTES[profile.class] / (4 * vocabulary);
  return Math.max(Math.floor(fitting / VIEW_ALIGNMENT), 1) * VIEW_ALIGNMENT;
}

/** Gives every chunk the scratch of the first one: chunks ask for equal or smaller tensors. */
class ScratchReuse {
  readonly #context: KernelContext;
  readonly #tensors: Tensor[] = [];

  constructor(context: KernelContext) {
    this.#context = context;
  }

  /** The context of the next chunk. */
  next(): KernelContext {
    let index = 0;
    return {
      profile: this.#context.profile,
      scratch: (dtype: DType, shape: readonly number[]) => {
        const known = this.#tensors[index];
        if (known && known.dtype === dtype && known.size >= sizeOf(shape)) {
          index++;
          return viewOf(known, 0, shape);
        }
        const tensor = this.#context.scratch(dtype, shape);
        this.#tensors[index++] = tensor;
        return tensor;
      },
    };
  }
}

/** One row: `loss = log sum exp(l) - l[target]`; in place `l = weight (exp(l - lse) - [target])`. */
function softmaxLoss(
  profile: Profile,
  { logits, targets, weights, losses, first, withGradient }: {
    logits: Tensor;
    targets: Tensor;
    weights: Tensor;
    losses: Tensor;
    first: number;
    withGradient: boolean;
  },
): Dispatch {
  const [rows, vocabulary] = logits.shape as [number, number];
  const width = vectorWidth(vocabulary);
  const lanes = rowLanes(profile, vocabulary);
  const split = splitWork(profile, rows);
  const element = vectorType(width);
  const largest = width === 4 ? "max(max(value.x, value.y), max(value.z, value.w))" : "value";
  const gradient = `
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      logits[base + column] = weight * exp(logits[base + column] - log_sum_exp);
    }
    if (lane == (target_id / ${width}u) % ${lanes}u) {
      logits[base + target_id / ${width}u]${width === 4 ? "[target_id % 4u]" : ""} -= weight;
    }`;
  return dispatchOf(profile, {
    label: withGradient ? "crossEntropy gradient" : "crossEntropy loss",
    storage: [
      { name: "logits", tensor: logits, access: "read_write", element },
      { name: "targets", tensor: targets, access: "read", element: "u32" },
      { name: "weights", tensor: weights, access: "read", element: "f32" },
      { name: "losses", tensor: losses, access: "read_write", element: "f32" },
    ],
    uniforms: {
      rows: u32(rows),
      columns: u32(vocabulary / width),
      first: u32(first),
      per_group: u32(split.perGroup),
    },
    body: `
${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * parameters.per_group;
  let end = min(start + parameters.per_group, parameters.rows);
  for (var row = start; row < end; row++) {
    let base = row * parameters.columns;
    let token = parameters.first + row;
    let weight = weights[token];
    // The target of a token without weight may be anything.
    let target_id = select(0u, targets[token], weight != 0.0);
    // Read before the reductions: after them, the lane that owns it may have overwritten it.
    let target_logit = logits[base + target_id / ${width}u]${width === 4 ? "[target_id % 4u]" : ""};
    // Online log-sum-exp: rescale the running sum whenever the running maximum grows.
    var maximum = -3.4e38;
    var total = 0.0;
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      let value = logits[base + column];
      let larger = max(maximum, ${largest});
      let terms = exp(value - larger);
      total = total * exp(maximum - larger) + ${sumOf(width, "terms")};
      maximum = larger;
    }
    let row_maximum = reduce_max(maximum, lane);
    let row_total = reduce_sum(total * exp(maximum - row_maximum), lane);
    let log_sum_exp = row_maximum + log(row_total);
    if (lane == 0u) {
      losses[token] = select(0.0, log_sum_exp - target_logit, weight != 0.0);
    }
${withGradient ? gradient : ""}
  }
}
`,
    workgroups: [split.groups, 1, 1],
  });
}
