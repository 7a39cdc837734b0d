// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Filling a model's input tensors with rows of data.
 *
 * @module
 */

import type { Example } from "../data/dataset.ts";
import type { Trainable } from "./trainable.ts";

/** Number of tokens to learn in some rows. */
export function countTargets(rows: readonly Example[]): number {
  let count = 0;
  for (const { targets } of rows) {
    for (let position = 1; position < targets.length; position++) count += targets[position]!;
  }
  return count;
}

/**
 * Writes rows to a model's inputs: position `t` of a row predicts its token `t + 1` with weight
 * `weight` where that token is a target. Shorter rows and missing rows are padded on the right with
 * token 0 and weight 0, which causal attention keeps from every target. The last token of a row is
 * only a target, so a row may have one token more than the model reads.
 *
 * @throws {RangeError} If there are more rows, or longer ones, than the model is set up for, or packed
 * ones and it is not set up for them.
 */
export function writeRows(trainable: Trainable, rows: readonly Example[], weight: number): void {
  const { device, batchSize, length, tokenIndex, packing } = trainable;
  if (rows.length > batchSize) {
    throw new RangeError(`A batch has ${rows.length} rows; the model is set up for ${batchSize}`);
  }
  const tokens = new Uint32Array(batchSize * length);
  const targets = new Uint32Array(batchSize * length);
  const weights = new Float64Array(batchSize * length);
  rows.forEach((row, index) => {
    if (row.tokens.length > length + 1) {
      throw new RangeError(
        `A row has ${row.tokens.length} tokens; the model is set up for ${length}`,
      );
    }
    if (row.starts !== undefined && packing === null) {
      throw new RangeError("A row is packed; the model is set up for rows of one example");
    }
    const start = index * length;
    tokens.set(row.tokens.subarray(0, length), start);
    targets.set(row.tokens.subarray(1), start);
    for (let position = 1; position < row.targets.length; position++) {
      if (row.targets[position] === 1) weights[start + position - 1] = weight;
    }
  });
  device.write(trainable.tokens, tokens);
  device.write(trainable.targets, targets);
  device.write(trainable.weights, weights);
  if (packing !== null) {
    const { starts, positions } = locateExamples(rows, batchSize, length);
    device.write(packing.starts, starts);
    device.write(packing.positions, positions);
  }
  if (tokenIndex !== null) {
    const { order, offsets } = invertTokens(tokens, tokenIndex.offsets.size - 1);
    device.write(tokenIndex.order, order);
    device.write(tokenIndex.offsets, offsets);
  }
}

/**
 * For every token of a batch, the position in its row where its example starts, and its own position in
 * the example. Padding is made of examples of one token, which cost attention least.
 */
function locateExamples(
  rows: readonly Example[],
  batchSize: number,
  length: number,
): { readonly starts: Uint32Array; readonly positions: Uint32Array } {
  const starts = Uint32Array.from({ length: batchSize * length }, (_, token) => token % length);
  const positions = new Uint32Array(batchSize * length);
  rows.forEach(({ tokens, starts: examples = [0] }, index) => {
    const end = Math.min(tokens.length, length);
    examples.forEach((start, example) => {
      for (let position = start; position < (examples[example + 1] ?? end); position++) {
        starts[index * length + position] = start;
        positions[index * length + position] = position - start;
      }
    });
  });
  return { starts, positions };
}

/**
 * Positions sorted by token id (stable) and the start of each id's run: what `embeddingBackward`
 * needs. `offsets` has `vocabulary + 1` entries.
 */
export function invertTokens(
  tokens: Uint32Array,
  vocabulary: number,
): { readonly order: Uint32Array; readonly offsets: Uint32Array } {
  const offsets = new Uint32Array(vocabulary + 1);
  for (const token of tokens) {
    if (token >= vocabulary) {
      throw new RangeError(`Token id ${token} is outside the vocabulary of ${vocabulary}`);
    }
    offsets[token + 1]!++;
  }
  for (let token = 0; token < vocabulary; token++) offsets[token + 1]! += offsets[token]!;
  const next = offsets.slice(0, vocabulary);
  const order = new Uint32Array(tokens.length);
  tokens.forEach((token, position) => {
    order[next[token]!++] = position;
  });
  return { order, offsets };
}
