/**
 * What the fused operations are made of, for devices on which doing it in one pass wins nothing.
 *
 * @module
 */

import type { Operations } from "./device.ts";
import {
  type Arguments,
  checkAddRmsNorm,
  checkLinearGroup,
  checkLinearGroupTransposed,
} from "./shapes.ts";

/** {@linkcode Operations.linearGroup} by layers. */
export function linearGroup(
  operations: Pick<Operations, "linear" | "lowRank">,
  args: Arguments<"linearGroup">,
): void {
  checkLinearGroup(args);
  const { input, layers, accumulate = false } = args;
  for (const { adapter, ...layer } of layers) {
    operations.linear({ input, ...layer, accumulate });
    if (adapter) operations.lowRank({ input, ...adapter, output: layer.output });
  }
}

/** {@linkcode Operations.linearGroupTransposed} by layers. */
export function linearGroupTransposed(
  operations: Pick<Operations, "linearTransposed">,
  args: Arguments<"linearGroupTransposed">,
): void {
  checkLinearGroupTransposed(args);
  const { layers, gradInput, accumulate = false } = args;
  layers.forEach((layer, index) =>
    operations.linearTransposed({ ...layer, gradInput, accumulate: accumulate || index > 0 })
  );
}

/** {@linkcode Operations.addRmsNorm} in two operations. */
export function addRmsNorm(
  operations: Pick<Operations, "add" | "rmsNorm">,
  args: Arguments<"addRmsNorm">,
): void {
  checkAddRmsNorm(args);
  const { input, residual, weight, sum, output, epsilon } = args;
  operations.add({ left: input, right: residual, output: sum });
  operations.rmsNorm({ input: sum, weight, output, epsilon });
}
