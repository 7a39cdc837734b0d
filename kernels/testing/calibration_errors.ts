/**
 * Calls of the operations of calibration whose shapes do not fit; see `shape_errors.ts`.
 *
 * @module
 */

import type { BadCall, Maker } from "./shape_errors.ts";

/** One bad call per requirement that a caller is likely to break. */
export const CALIBRATION_BAD_CALLS: readonly BadCall[] = [
  {
    label: "squaredError of another target",
    message: /^squaredError: target "target" has shape \[4, 3\], but \[3, 4\] is needed$/,
    call: (operations, tensor) =>
      operations.squaredError({ ...errors(tensor), target: tensor("target", [4, 3]) }),
  },
  {
    label: "squaredError with one loss",
    message: /^squaredError: losses "losses" has shape \[1\], but \[3\] is needed$/,
    call: (operations, tensor) =>
      operations.squaredError({ ...errors(tensor), losses: tensor("losses", [1]) }),
  },
  {
    label: "squaredError on an infinite scale",
    message: /^squaredError: scale is Infinity; pass a finite number$/,
    call: (operations, tensor) => operations.squaredError({ ...errors(tensor), scale: Infinity }),
  },
  {
    label: "clippedQuantize in groups that do not divide",
    message: /^clippedQuantize: groupSize, 3, does not divide the weight's columns, 8$/,
    call: (operations, tensor) => operations.clippedQuantize({ ...clipped(tensor), groupSize: 3 }),
  },
  {
    label: "clippedQuantize with logits of rows",
    message:
      /^clippedQuantize: upper "upper" has 2 elements .* 4 are needed, one for each group of the/,
    call: (operations, tensor) =>
      operations.clippedQuantize({ ...clipped(tensor), upper: tensor("upper", [2]) }),
  },
  {
    label: "clippedQuantizeBackward into gradients of rows",
    message: /^clippedQuantizeBackward: gradLower "gradLower" has 2 elements/,
    call: (operations, tensor) =>
      operations.clippedQuantizeBackward({
        ...clipped(tensor),
        gradOutput: tensor("gradOutput", [2, 8]),
        gradUpper: tensor("gradUpper", [4]),
        gradLower: tensor("gradLower", [2]),
      }),
  },
  {
    label: "gatherColumns into as many columns as there were",
    message: /^gatherColumns: output "output" has shape \[3, 4\], but \[3, 2\] is needed$/,
    call: (operations, tensor) =>
      operations.gatherColumns({
        input: tensor("input", [3, 4]),
        order: tensor("order", [2], "u32"),
        output: tensor("output", [3, 4]),
      }),
  },
  {
    label: "scatterColumns of more columns than there are",
    message: /^scatterColumns: order "order" has 5 indices, but output "output" only 4 columns/,
    call: (operations, tensor) =>
      operations.scatterColumns({
        input: tensor("input", [3, 5]),
        order: tensor("order", [5], "u32"),
        output: tensor("output", [3, 4]),
      }),
  },
];

function errors(tensor: Maker) {
  return {
    prediction: tensor("prediction", [3, 4]),
    target: tensor("wanted", [3, 4]),
    scale: 1,
    losses: tensor("sums", [3]),
  };
}

/** Two rows of two groups. */
function clipped(tensor: Maker) {
  return {
    weight: tensor("weight", [2, 8]),
    upper: tensor("highest", [4]),
    lower: tensor("lowest", [4]),
    groupSize: 4,
    bits: 2,
    symmetric: false,
    containsZero: false,
    output: tensor("output", [2, 8]),
  } as const;
}
