// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The smallest model that trains: `logits = embedding[token] head^T`, with data to train it on. Its
 * gradient is two lines, so that tests can state what every step must do.
 *
 * @module
 */

import type { Device } from "../../../kernels/device.ts";
import { RandomStream } from "../../../kernels/random.ts";
import type { Dataset, Example } from "../../data/dataset.ts";
import type { Trainable } from "../trainable.ts";

/** Token ids. */
export const VOCABULARY = 7;

/** Features of a token. */
export const WIDTH = 4;

/** Initial `[VOCABULARY, WIDTH]` values of "embedding" or "head". */
export function initialValues(name: string): Float64Array {
  const stream = new RandomStream(5, name);
  return Float64Array.from({ length: VOCABULARY * WIDTH }, (_, index) => stream.normal(index));
}

/** The model with initial values; only its embedding decays. */
export function bigram(device: Device, batchSize: number, length: number): Trainable {
  const count = batchSize * length;
  const slab = (name: string, decay: boolean) => {
    const parameters = device.tensor("f32", [VOCABULARY * WIDTH], name);
    device.write(parameters, initialValues(name));
    const gradients = device.tensor("f32", [VOCABULARY * WIDTH], `gradient of ${name}`);
    return { name, parameters, gradients, decay };
  };
  const slabs = [slab("embedding", true), slab("head", false)] as const;
  const matrix = (tensor: typeof slabs[0]["parameters"]) =>
    device.view(tensor, 0, [VOCABULARY, WIDTH]);
  const tokens = device.tensor("u32", [count], "tokens");
  const targets = device.tensor("u32", [count], "targets");
  const weights = device.tensor("f32", [count], "weights");
  const losses = device.tensor("f32", [count], "losses");
  const hidden = device.tensor("f32", [count, WIDTH], "hidden");
  const gradHidden = device.tensor("f32", [count, WIDTH], "gradient of hidden");
  const order = device.tensor("u32", [count], "order");
  const offsets = device.tensor("u32", [VOCABULARY + 1], "offsets");
  const table = matrix(slabs[0].parameters);
  const head = {
    format: "dense",
    rows: VOCABULARY,
    columns: WIDTH,
    values: matrix(slabs[1].parameters),
  } as const;
  const loss = { hidden, head, targets, weights, losses };
  return {
    device,
    batchSize,
    length,
    tokens,
    targets,
    weights,
    losses,
    tokenIndex: { order, offsets },
    packing: null,
    dropoutKey: device.tensor("u32", [2], "dropout key"),
    slabs,
    forward: device.record("forward", (operations) => {
      operations.embedding({ tokens, table, output: hidden });
      operations.crossEntropy(loss);
    }),
    forwardBackward: device.record("forward and backward", (operations) => {
      operations.embedding({ tokens, table, output: hidden });
      operations.crossEntropy({ ...loss, gradHidden, gradHead: matrix(slabs[1].gradients) });
      const gradTable = matrix(slabs[0].gradients);
      operations.embeddingBackward({ gradOutput: gradHidden, order, offsets, gradTable });
    }),
  };
}

/** Rows of 2 to 6 random tokens, of which about two thirds are targets. */
export function randomRows(size: number, seed = 1): Dataset {
  const stream = new RandomStream(seed, "rows");
  const rows: Example[] = Array.from({ length: size }, (_, row) => {
    const length = 2 + row % 5;
    const draw = (index: number) => stream.uniform(100 * row + index);
    return {
      tokens: Uint32Array.from({ length }, (_, index) => Math.floor(VOCABULARY * draw(index))),
      targets: Uint8Array.from(
        { length },
        (_, index) => index === 1 || (index > 1 && draw(50 + index) < 0.5) ? 1 : 0,
      ),
    };
  });
  return {
    size,
    length: 6,
    tokens: rows.reduce((sum, { tokens }) => sum + tokens.length, 0),
    example: (index) => rows[index]!,
  };
}
