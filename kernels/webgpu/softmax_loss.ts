/**
 * Rows of logits to losses and, in place, to gradients: `loss = log sum exp(l) - l[target]` and
 * `l = weight (exp(l - log sum exp(l)) - [target])`. A vocabulary may come in shards, whose sums are
 * combined, in order, before the first gradient.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Dispatch, Profile } from "./program.ts";
import type { RowRange } from "./shards.ts";
import {
  dispatchOf,
  reductions,
  rowLanes,
  splitWork,
  type Storage,
  sumOf,
  u32,
  vectorType,
  vectorWidth,
} from "./wgsl.ts";

/** Logits of some tokens over some ids of the vocabulary. */
export interface LogitsShard {
  /** `[tokens, ids.count]`. */
  readonly logits: Tensor;
  /** The columns' place in the vocabulary. */
  readonly ids: RowRange;
  /** `[T]` u32. */
  readonly targets: Tensor;
  /** `[T]`; where it is 0, the loss is 0 and the target may be anything. */
  readonly weights: Tensor;
  /** `[T]`. */
  readonly losses: Tensor;
  /** The first of these tokens. */
  readonly firstToken: number;
}

/** Losses, and on request gradients, where one shard is the whole vocabulary. */
export function softmaxLoss(
  profile: Profile,
  shard: LogitsShard,
  withGradient: boolean,
): Dispatch {
  return rowKernel(profile, shard, {
    label: withGradient ? "crossEntropy gradient" : "crossEntropy loss",
    storage: [{ name: "losses", tensor: shard.losses, access: "read_write", element: "f32" }],
    code: `
    let sums = scan(base, lane);
    let log_sum_exp = sums.x + log(sums.y);
    if (lane == 0u) {
      losses[token] = select(0.0, log_sum_exp - target_logit, weight != 0.0);
    }
    ${withGradient ? DIFFERENTIATE : ""}`,
  });
}

/**
 * Adds a shard to `sums [tokens, 4]`: the largest logit, the sum of `exp(l - largest)` and the logit of
 * the target among the shards so far. The losses are right after the last shard.
 */
export function addShard(profile: Profile, shard: LogitsShard, sums: Tensor): Dispatch {
  return rowKernel(profile, shard, {
    label: "crossEntropy shard",
    storage: [
      { name: "losses", tensor: shard.losses, access: "read_write", element: "f32" },
      { name: "sums", tensor: sums, access: "read_write", element: "vec4<f32>" },
    ],
    code: `
    let added = scan(base, lane);
    if (lane == 0u) {
      var sum = vec4<f32>(-3.4e38, 0.0, 0.0, 0.0);
      if (parameters.first_id > 0u) {
        sum = sums[row];
      }
      let largest = max(sum.x, added.x);
      sum.y = sum.y * exp(sum.x - largest) + added.y * exp(added.x - largest);
      sum.x = largest;
      if (has_target) {
        sum.z = target_logit;
      }
      sums[row] = sum;
      losses[token] = select(0.0, sum.x + log(sum.y) - sum.z, weight != 0.0);
    }`,
  });
}

/** Turns a shard into its gradient, once `sums` holds all shards. */
export function differentiateShard(profile: Profile, shard: LogitsShard, sums: Tensor): Dispatch {
  return rowKernel(profile, shard, {
    label: "crossEntropy shard gradient",
    storage: [{ name: "sums", tensor: sums, access: "read", element: "vec4<f32>" }],
    code: `
    let log_sum_exp = sums[row].x + log(sums[row].y);
    ${DIFFERENTIATE}`,
  });
}

const DIFFERENTIATE = "differentiate(base, lane, log_sum_exp, weight, target_id, has_target);";

/** Runs `code` for each `row` of the logits, with all lanes of a workgroup. */
function rowKernel(
  profile: Profile,
  { logits, ids, targets, weights, firstToken }: LogitsShard,
  { label, storage, code }: { label: string; storage: readonly Storage[]; code: string },
): Dispatch {
  const rows = logits.size / ids.count;
  const width = vectorWidth(ids.count);
  const lanes = rowLanes(profile, ids.count);
  const split = splitWork(profile, rows);
  const largest = width === 4 ? "max(max(value.x, value.y), max(value.z, value.w))" : "value";
  const targetPlace = `base + target_id / ${width}u`;
  const targetComponent = width === 4 ? "[target_id % 4u]" : "";
  return dispatchOf(profile, {
    label,
    storage: [
      { name: "logits", tensor: logits, access: "read_write", element: vectorType(width) },
      { name: "targets", tensor: targets, access: "read", element: "u32" },
      { name: "weights", tensor: weights, access: "read", element: "f32" },
      ...storage,
    ],
    uniforms: {
      rows: u32(rows),
      columns: u32(ids.count / width),
      first_token: u32(firstToken),
      first_id: u32(ids.first),
      ids: u32(ids.count),
      per_group: u32(split.perGroup),
    },
    body: `
${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}

// Online log-sum-exp: rescale the running sum whenever the running maximum grows.
fn scan(base: u32, lane: u32) -> vec2<f32> {
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
  return vec2<f32>(row_maximum, reduce_sum(total * exp(maximum - row_maximum), lane));
}

fn differentiate(
  base: u32, lane: u32, log_sum_exp: f32, weight: f32, target_id: u32, has_target: bool,
) {
  for (var column = lane; column < parameters.columns; column += ${lanes}u) {
    logits[base + column] = weight * exp(logits[base + column] - log_sum_exp);
  }
  if (has_target && lane == (target_id / ${width}u) % ${lanes}u) {
    logits[${targetPlace}]${targetComponent} -= weight;
  }
}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * parameters.per_group;
  let end = min(start + parameters.per_group, parameters.rows);
  for (var row = start; row < end; row++) {
    let base = row * parameters.columns;
    let token = parameters.first_token + row;
    let weight = weights[token];
    // Ids of earlier shards wrap around to large ones.
    let relative_id = targets[token] - parameters.first_id;
    let has_target = weight != 0.0 && relative_id < parameters.ids;
    let target_id = select(0u, relative_id, has_target);
    // Read before the reductions: after them, the lane that owns it may have overwritten it.
    let target_logit = logits[${targetPlace}]${targetComponent};
${code}
  }
}
`,
    workgroups: [split.groups, 1, 1],
  });
}
