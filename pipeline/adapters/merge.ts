// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Merging an adapter into the weight it belongs to.
 *
 * If delta W is constant on every quantization block, moving the block's zero by
 * `-delta W / scale` represents `W + delta W` exactly: codes and scales stay, nothing is rounded but
 * the zero itself, which is a float (QA-LoRA, section 3.3; the same argument holds for any tile that
 * contains whole blocks).
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { HostDenseWeight, HostIntegerWeight } from "../formats/host_weight.ts";
import type { HostMixedWeight } from "../formats/mixed_weight.ts";
import type { HostModule } from "./adapter.ts";

/** Weights in blocks with a scale and a float zero each, whatever their codes are. */
export type HostBlockWeight = HostIntegerWeight | HostMixedWeight;

/**
 * `(scale / pool) B A`, `[rows / repeat, columns / pool]` in float64: what the adapter adds to each
 * tile of the weight.
 */
export function tileUpdate(module: HostModule): Float64Array {
  const [outputs] = module.shape.b;
  const inputs = tilesPerRow(module);
  const update = new Float64Array(outputs * inputs);
  for (let output = 0; output < outputs; output++) {
    addUpdate(module, output, update.subarray(output * inputs, (output + 1) * inputs));
  }
  return update;
}

/** Tiles side by side: pooled inputs. */
function tilesPerRow({ shape }: HostModule): number {
  return shape.a === null ? shape.b[1] : shape.a[1];
}

/** Adds row `output` of the update to `row`. */
function addUpdate({ shape, a, b }: HostModule, output: number, row: Float64Array): void {
  const [, rank] = shape.b;
  const factor = shape.scale / shape.pool;
  for (let k = 0; k < rank; k++) {
    const left = factor * b[output * rank + k]!;
    if (a === null) row[k]! += left;
    else if (left !== 0) {
      for (let input = 0; input < row.length; input++) {
        row[input]! += left * a[k * row.length + input]!;
      }
    }
  }
}

/**
 * Merges into the zeros; codes and scales are the very arrays of `weight`.
 *
 * @throws {UserError} If the adapter's tiles do not contain whole quantization blocks.
 */
export function mergeIntoZeros<Weight extends HostBlockWeight>(
  weight: Weight,
  module: HostModule,
  path: string,
): Weight {
  const { pool, repeat } = module.shape;
  const { blockRows, blockColumns, rows, columns } = weight;
  if (pool % blockColumns !== 0 || repeat % blockRows !== 0) {
    throw new UserError(
      `Cannot merge the adapter of ${path} into zero points: its tiles of ${repeat} x ${pool} do not ` +
        `contain whole quantization blocks of ${blockRows} x ${blockColumns}`,
    );
  }
  const update = tileUpdate(module);
  const tiles = columns / pool;
  const blocksPerRow = columns / blockColumns;
  const zeros = Float32Array.from(weight.zeros);
  for (let row = 0; row < rows / blockRows; row++) {
    const tileRow = Math.floor(row * blockRows / repeat);
    for (let column = 0; column < blocksPerRow; column++) {
      const tile = tileRow * tiles + Math.floor(column * blockColumns / pool);
      const block = row * blocksPerRow + column;
      zeros[block] = weight.zeros[block]! - update[tile]! / weight.scales[block]!;
    }
  }
  return { ...weight, zeros };
}

/** `values + delta W`, each sum rounded once to f32. */
export function mergeIntoDense(weight: HostDenseWeight, module: HostModule): HostDenseWeight {
  const { pool, repeat } = module.shape;
  const { rows, columns } = weight;
  const values = new Float32Array(weight.values.length);
  // A row at a time: the update of a whole layer in float64 would be twice as large as the layer.
  const update = new Float64Array(columns / pool);
  for (let row = 0; row < rows; row++) {
    if (row % repeat === 0) {
      update.fill(0);
      addUpdate(module, row / repeat, update);
    }
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column;
      values[index] = weight.values[index]! + update[Math.floor(column / pool)]!;
    }
  }
  return { ...weight, values };
}

/** Root mean square of the movement of the zeros, in steps of the integer grid. */
export function zeroMovement(before: HostBlockWeight, after: HostBlockWeight): number {
  let sum = 0;
  for (let block = 0; block < before.zeros.length; block++) {
    sum += (after.zeros[block]! - before.zeros[block]!) ** 2;
  }
  return Math.sqrt(sum / before.zeros.length);
}
