/**
 * The pooled low-rank adapter: LoRA (Hu et al. 2022) with pool = repeat = 1, QA-LoRA (Xu et al. 2024)
 * with pool = group size, balanced forms with both. `reference/low_rank.ts` has the formulas.
 *
 * @module
 */

import type { LowRank, Tensor } from "../device.ts";
import {
  type Arguments,
  checkLowRank,
  checkLowRankBackward,
  type LowRankDimensions,
} from "../shapes.ts";
import { dropoutValues } from "./dropout.ts";
import { outerKernel } from "./low_rank_outer.ts";
import { expandKernel, panelsKernel, projectKernel } from "./low_rank_products.ts";
import { poolKernel, unpoolKernel } from "./pooling.ts";
import type { Recorder } from "./recorder.ts";
import { TILE_COLUMNS } from "./tile.ts";

/** Records {@linkcode Operations.lowRank}. */
export function lowRank(recorder: Recorder, args: Arguments<"lowRank">): void {
  const { M: rows, K, N, R: rank, P, Q } = checkLowRank(args);
  const { input, a, b, pool, repeat, scale, hidden, output } = args;
  const wide = recorder.wide ? 1 : 0;
  const panels = panelMemory(recorder, args, { K, N, R: rank, P, Q });
  const pooled = {
    ...{ input, output: hidden, rows, columns: K, width: pool, factor: inputFactor(args) },
    ...dropoutValues(args.dropout),
  };
  if (a === null) recorder.call(poolKernel, { ...pooled, count: P });
  else {
    recorder.call(panelsKernel, {
      ...{ source: a, panels, depth: P, columns: rank },
      ...{ stepStride: 1, columnStride: P, repeat: 1 },
    });
    recorder.call(projectKernel, { ...pooled, panels, rank, wide });
  }
  recorder.call(panelsKernel, {
    ...{ source: b, panels, depth: rank, columns: N },
    ...{ stepStride: 1, columnStride: rank, repeat },
  });
  recorder.call(expandKernel, {
    ...{ left: hidden, panels, output, rows, columns: N, width: repeat, rank, factor: scale, wide },
    ...dropoutValues(undefined),
  });
}

/** Records {@linkcode Operations.lowRankBackward}. */
export function lowRankBackward(recorder: Recorder, args: Arguments<"lowRankBackward">): void {
  const { M: rows, K, N, R: rank, P, Q } = checkLowRankBackward(args);
  const { input, a, b, pool, repeat, scale, hidden, gradOutput, gradA, gradB, gradInput } = args;
  const wide = recorder.wide ? 1 : 0;
  const fromOutput = {
    ...{ input: gradOutput, rows, columns: N, width: repeat, rank, factor: scale, wide },
    ...dropoutValues(undefined),
  };
  if (gradB !== null) {
    recorder.call(outerKernel, {
      ...{ ...fromOutput, left: hidden, output: gradB, rankStride: 1, featureStride: rank },
    });
  }
  if (gradA === null && gradInput === null) return;

  const panels = panelMemory(recorder, args, { K, N, R: rank, P, Q });
  const gradHidden = recorder.scratch("f32", [rows, rank]);
  recorder.call(panelsKernel, {
    ...{ source: b, panels, depth: Q, columns: rank },
    ...{ stepStride: rank, columnStride: 1, repeat: 1 },
  });
  recorder.call(projectKernel, { ...fromOutput, panels, output: gradHidden });

  const toInput = {
    ...{ rows, columns: K, width: pool, factor: inputFactor(args) },
    ...dropoutValues(args.dropout),
  };
  if (gradA !== null) {
    recorder.call(outerKernel, {
      ...{ ...toInput, left: gradHidden, input, output: gradA, rank, wide },
      ...{ rankStride: P, featureStride: 1 },
    });
  }
  if (gradInput === null) return;
  if (a === null) {
    recorder.call(unpoolKernel, { ...toInput, input: gradHidden, output: gradInput, count: P });
    return;
  }
  recorder.call(panelsKernel, {
    ...{ source: a, panels, depth: rank, columns: K },
    ...{ stepStride: P, columnStride: 1, repeat: pool },
  });
  recorder.call(expandKernel, {
    ...{ ...toInput, left: gradHidden, panels, output: gradInput, rank, wide },
  });
}

/** What sums of pooled features are multiplied by. */
function inputFactor({ pool, dropout }: LowRank): number {
  return 1 / pool / (1 - (dropout?.rate ?? 0));
}

/** Memory for the panels of either side, whose kernels run one after the other. */
function panelMemory(
  recorder: Recorder,
  { a }: LowRank,
  { K, N, R, P, Q }: Omit<LowRankDimensions, "M">,
): Tensor {
  const padded = (columns: number) => Math.ceil(columns / TILE_COLUMNS) * TILE_COLUMNS;
  const sizes = [R * padded(N), Q * padded(R), ...(a ? [P * padded(R), R * padded(K)] : [])];
  return recorder.scratch("f32", [Math.max(...sizes)]);
}
