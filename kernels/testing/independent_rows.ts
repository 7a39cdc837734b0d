// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Recordings with `independentRows`: what comes of a row are the same bits among any others.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Device, Operations, Tensor, Weight } from "../device.ts";
import { randomFloats } from "./arrays.ts";
import { placeOn, randomInteger, uploadWeight } from "./weights.ts";

/** Numbers of rows around those at which devices go from one kernel to the next. */
const ROWS: readonly number[] = [1, 2, 3, 5, 8, 9, 16, 40, 97, 130];

const MOST = 130;

/** Layers of all kinds, with adapters, and the losses of a head. */
export async function independentProducts(device: Device): Promise<void> {
  const place = placeOn(device);
  const [K, N, rank] = [192, 64, 8];
  const floats = (name: string, shape: readonly number[]) =>
    place("f32", shape, randomFloats(name, shape.reduce((a, b) => a * b)), name);
  const input = floats("rows", [MOST, K]);
  const dense: Weight = { format: "dense", rows: N, columns: K, values: floats("weight", [N, K]) };
  const integer = uploadWeight(randomInteger("codes", N, K, 4, 1, 32), place);
  const layer = (weight: Weight, repeat: number | null) => ({
    weight,
    bias: floats("bias", [N]),
    ...(repeat === null ? {} : {
      adapter: {
        a: floats("a", [rank, K]),
        b: floats("b", [N / repeat, rank]),
        ...{ pool: 1, repeat, scale: 0.3, hidden: floats("hidden", [MOST, rank]) },
      },
    }),
  });
  const layers = [
    ...[layer(dense, null), layer(integer, null), layer(dense, 1)],
    ...[layer(integer, 1), layer(integer, 2)],
  ];
  const outputs = layers.map((_, index) => floats(`output ${index}`, [MOST, N]));
  const targets = place("u32", [MOST], new Uint32Array(MOST).fill(3), "targets");
  const weights = place("f32", [MOST], new Float32Array(MOST).fill(1), "weights");
  const losses = floats("losses", [MOST]);
  const record = (rows: number) => (operations: Operations) => {
    const top = (tensor: Tensor, ...rest: number[]) => device.view(tensor, 0, [rows, ...rest]);
    operations.linearGroup({
      input: top(input, K),
      layers: layers.map(({ weight, bias, adapter }, index) => ({
        ...{ weight, bias, output: top(outputs[index]!, N) },
        ...(adapter && { adapter: { ...adapter, hidden: top(adapter.hidden, rank) } }),
      })),
    });
    operations.crossEntropy({
      ...{ hidden: top(input, K), head: dense },
      ...{ targets: top(targets), weights: top(weights), losses: top(losses) },
    });
  };
  await checkRows(device, record, [...outputs, losses], "product");
}

/** Queries of one text in sequences of any length, with and without a window. */
export async function independentQueries(device: Device): Promise<void> {
  const place = placeOn(device);
  const [length, capacity, heads, headDim] = [96, 100, 4, 16];
  const width = heads * headDim;
  const floats = (name: string, shape: readonly number[]) =>
    place("f32", shape, randomFloats(name, shape.reduce((a, b) => a * b)), name);
  const queries = floats("queries", [length, width]);
  const cache = {
    keyCache: floats("keys", [2, capacity, width]),
    valueCache: floats("values", [2, capacity, width]),
  };
  const output = floats("attended", [length, width]);
  for (const window of [undefined, 21]) {
    let expected: Float32Array | Float64Array | undefined;
    for (const size of [length, 1, 4, 8, 24]) {
      const batch = length / size;
      const slots = place("u32", [batch], new Uint32Array(batch).fill(1), "slots");
      const starts = Uint32Array.from({ length: batch }, (_, index) => index * size);
      const positions = place("u32", [batch], starts, "positions");
      const recording = device.record("queries", (operations) =>
        operations.cachedAttention({
          ...{ ...cache, slots, positions, queries, output, batch, length: size },
          ...{ heads, kvHeads: heads, headDim, scale: 0.3, ...(window && { window }) },
        }), { independentRows: true });
      device.run(recording);
      const found = await device.readFloats(output);
      expected ??= found;
      assert.deepEqual(found, expected, `sequences of ${size} queries, window ${window}`);
      recording.release();
    }
  }
}

/** Runs a recording of every number of rows and compares the rows that all have. */
async function checkRows(
  device: Device,
  record: (rows: number) => (operations: Operations) => void,
  outputs: readonly Tensor[],
  name: string,
): Promise<void> {
  let expected: (Float32Array | Float64Array)[] | undefined;
  for (const rows of [MOST, ...ROWS]) {
    const recording = device.record(`${name} of ${rows} rows`, record(rows), {
      independentRows: true,
    });
    device.run(recording);
    const found = await Promise.all(outputs.map((output) => device.readFloats(output)));
    expected ??= found;
    found.forEach((values, index) => {
      const size = values.length / MOST * rows;
      const wanted = expected![index]!.subarray(0, size);
      assert.deepEqual(values.subarray(0, size), wanted, `${name} ${index} of ${rows} rows`);
    });
    recording.release();
  }
}
