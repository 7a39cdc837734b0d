// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Round to nearest: every block of weights gets its own integer grid, every weight the nearest point
 * of it.
 *
 * @module
 */

import { z } from "zod";
import { packCodes } from "../../kernels/packing.ts";
import type { HostIntegerWeight } from "../formats/host_weight.ts";
import { describeGrid, encode, fitGrid, gridFields, gridFormat } from "./integer_grid.ts";
import { checkDivides, checkWeights, type Quantizer } from "./quantizer.ts";

const parameters = z.strictObject({
  method: z.literal("rtn"),
  ...gridFields,
});

/** Parameters of {@linkcode rtn}. */
export type RtnParameters = z.output<typeof parameters>;

/** Round to nearest, asymmetric or symmetric, in 1-D groups or 2-D blocks. */
export const rtn: Quantizer<RtnParameters> = {
  name: "rtn",
  summary: "round to nearest: integer codes with a scale and a float zero per block",
  parameters,
  describe: describeGrid,
  format: gridFormat,
  quantize(weights, rows, columns, parameters, layer): HostIntegerWeight {
    const { bits, group_size: blockColumns, block_rows: blockRows, symmetric } = parameters;
    checkDivides(blockColumns, columns, "group_size", "inputs", layer);
    checkDivides(blockRows, rows, "block_rows", "outputs", layer);
    checkWeights(weights, rows, columns, layer);
    const blocksPerRow = columns / blockColumns;
    const scales = new Float32Array(rows / blockRows * blocksPerRow);
    const zeros = new Float32Array(scales.length);
    const codes = new Uint8Array(weights.length);
    for (let block = 0; block < scales.length; block++) {
      const firstRow = Math.floor(block / blocksPerRow) * blockRows;
      const start = firstRow * columns + (block % blocksPerRow) * blockColumns;
      let minimum = Infinity;
      let maximum = -Infinity;
      for (let row = 0; row < blockRows; row++) {
        for (let column = 0; column < blockColumns; column++) {
          const value = weights[start + row * columns + column]!;
          if (value < minimum) minimum = value;
          if (value > maximum) maximum = value;
        }
      }
      const grid = fitGrid(minimum, maximum, bits, symmetric);
      scales[block] = grid.scale;
      zeros[block] = grid.zero;
      for (let row = 0; row < blockRows; row++) {
        for (let column = 0; column < blockColumns; column++) {
          const index = start + row * columns + column;
          codes[index] = encode(weights[index]!, grid, bits);
        }
      }
    }
    return {
      format: "integer",
      rows,
      columns,
      bits,
      blockRows,
      blockColumns,
      codes: packCodes(codes, bits, rows, columns),
      scales,
      zeros,
    };
  },
};
