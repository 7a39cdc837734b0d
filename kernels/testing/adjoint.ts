/**
 * The adjoint identity `<y, A x> = <A^T y, x>`: the backward of an operation that is linear in its
 * input is its transpose. It needs no reference, so that an error common to a device and the
 * reference shows as well.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Device, type Operations, sizeOf, type Tensor } from "../device.ts";
import { randomFloats, randomIntegers } from "./arrays.ts";
import { randomOrder } from "./calibration_cases.ts";
import { inverseIndex } from "./vocabulary_cases.ts";
import {
  type Place,
  placeOn,
  randomCodebook,
  randomDense,
  randomInteger,
  randomNf4,
  uploadWeight,
  type WeightData,
} from "./weights.ts";

/** A pair of operations: `forward` writes y from x, `backward` writes x from y. */
interface Pair {
  readonly label: string;
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  /** Uploads what both need; returns how to record them. */
  prepare(place: Place): {
    forward(operations: Operations, input: Tensor, output: Tensor): void;
    backward(operations: Operations, gradOutput: Tensor, gradInput: Tensor): void;
  };
}

/** Checks the identity on a device for every operation that is linear in its input. */
export async function checkAdjoints(device: Device): Promise<void> {
  for (const pair of pairs()) {
    const owned: Tensor[] = [];
    const place: Place = (...args) => {
      const tensor = placeOn(device)(...args);
      owned.push(tensor);
      return tensor;
    };
    const { forward, backward } = pair.prepare(place);
    const x = randomFloats(`${pair.label} x`, sizeOf(pair.inputShape));
    const y = randomFloats(`${pair.label} y`, sizeOf(pair.outputShape));
    const input = place("f32", pair.inputShape, x, "input");
    const gradOutput = place("f32", pair.outputShape, y, "gradOutput");
    // Zeros, because some operations add to what is there.
    const output = zeros(place, pair.outputShape, "output");
    const gradInput = zeros(place, pair.inputShape, "gradInput");
    const recording = device.record(pair.label, (operations) => {
      forward(operations, input, output);
      backward(operations, gradOutput, gradInput);
    });
    device.run(recording);
    const left = products(y, await device.readFloats(output));
    const right = products(await device.readFloats(gradInput), x);
    // Every element is an f32 sum of at most 192 products, off by some 1e-6 of its size.
    const bound = 1e-5 * Math.max(left.size, right.size);
    assert.ok(
      Math.abs(left.sum - right.sum) <= bound,
      `${pair.label}: <y, A x> is ${left.sum}, but <A^T y, x> is ${right.sum}`,
    );
    assert.ok(left.size > 0, `${pair.label}: the output is not zero`);
    recording.release();
    for (const tensor of owned) device.free(tensor);
  }
}

function pairs(): Pair[] {
  const weights: [string, WeightData][] = [
    ["dense", randomDense("dense 7 31", 31, 7)],
    ["integer 1", randomInteger("adjoint 1", 31, 192, 1, 1, 64)],
    ["integer 2", randomInteger("adjoint 2", 31, 192, 2, 1, 64)],
    ["integer 3", randomInteger("adjoint 3", 31, 192, 3, 1, 64)],
    ["integer 4", randomInteger("adjoint 4", 31, 192, 4, 1, 64)],
    ["integer 8", randomInteger("adjoint 8", 31, 192, 8, 1, 64)],
    ["nf4", randomNf4("adjoint nf4", 31, 64, "plain")],
    ["codebook", randomCodebook("adjoint codebook", 31, 192, 64)],
    ["nf4 double", randomNf4("adjoint nf4 double", 31, 64, "double")],
  ];
  return [
    ...weights.map(([name, data]) => linearPair(name, data)),
    lowRankPair(),
    ropePair(),
    embeddingPair(),
    columnsPair(),
  ];
}

function linearPair(name: string, data: WeightData): Pair {
  return {
    label: `linear ${name}`,
    inputShape: [3, data.columns],
    outputShape: [3, data.rows],
    prepare(place) {
      const weight = uploadWeight(data, place);
      return {
        forward: (operations, input, output) => operations.linear({ input, weight, output }),
        backward: (operations, gradOutput, gradInput) =>
          operations.linearTransposed({ gradOutput, weight, gradInput }),
      };
    },
  };
}

function lowRankPair(): Pair {
  const [M, K, N, R, pool, repeat] = [7, 64, 32, 16, 4, 32] as const;
  return {
    label: "lowRank with dropout",
    inputShape: [M, K],
    outputShape: [M, N],
    prepare(place) {
      const a = place("f32", [R, K / pool], randomFloats("a", R * K / pool), "a");
      const b = place("f32", [N / repeat, R], randomFloats("b", N / repeat * R), "b");
      const hidden = zeros(place, [M, R], "hidden");
      const input = zeros(place, [M, K], "input");
      const dropout = { rate: 0.125, key: place("u32", [2], randomKey(), "key"), stream: 3 };
      const adapter = { a, b, pool, repeat, scale: 0.5, dropout };
      return {
        forward: (operations, input, output) =>
          operations.lowRank({ ...adapter, input, hidden, output }),
        backward: (operations, gradOutput, gradInput) =>
          operations.lowRankBackward({
            ...adapter,
            input,
            hidden,
            gradOutput,
            gradA: null,
            gradB: null,
            gradInput,
          }),
      };
    },
  };
}

function ropePair(): Pair {
  const shape = [14, 24] as const;
  return {
    label: "rope",
    inputShape: shape,
    outputShape: shape,
    prepare(place) {
      const angles = randomFloats("angles", 28, -Math.PI, Math.PI);
      const turn = {
        cosines: place("f32", [7, 4], angles.map(Math.cos), "cosines"),
        sines: place("f32", [7, 4], angles.map(Math.sin), "sines"),
        heads: 3,
        headDim: 8,
        length: 7,
        layout: "half" as const,
      };
      return {
        forward: (operations, input, output) => {
          operations.copy({ input, output });
          operations.rope({ ...turn, values: output });
        },
        backward: (operations, gradOutput, gradInput) => {
          operations.copy({ input: gradOutput, output: gradInput });
          operations.rope({ ...turn, values: gradInput, inverse: true });
        },
      };
    },
  };
}

function embeddingPair(): Pair {
  const [T, V, D] = [65, 31, 7] as const;
  return {
    label: "embedding",
    inputShape: [V, D],
    outputShape: [T, D],
    prepare(place) {
      const ids = randomIntegers("tokens", T, V);
      const index = inverseIndex(ids, V);
      const tokens = place("u32", [T], ids, "tokens");
      const order = place("u32", [T], index.order, "order");
      const offsets = place("u32", [V + 1], index.offsets, "offsets");
      return {
        forward: (operations, table, output) => operations.embedding({ tokens, table, output }),
        backward: (operations, gradOutput, gradTable) =>
          operations.embeddingBackward({ gradOutput, order, offsets, gradTable }),
      };
    },
  };
}

function columnsPair(): Pair {
  const [M, K, C] = [7, 33, 20] as const;
  return {
    label: "columns",
    inputShape: [M, K],
    outputShape: [M, C],
    prepare(place) {
      const order = place("u32", [C], randomOrder(K, C), "order");
      return {
        forward: (operations, input, output) => operations.gatherColumns({ input, order, output }),
        backward: (operations, input, output) =>
          operations.scatterColumns({ input, order, output }),
      };
    },
  };
}

function zeros(place: Place, shape: readonly number[], label: string): Tensor {
  return place("f32", shape, new Float32Array(sizeOf(shape)), label);
}

function randomKey(): Uint32Array {
  return randomIntegers("key", 2, 2 ** 32);
}

/** The dot product, and its length: the root of the sum of squared products. */
function products(
  left: ArrayLike<number>,
  right: ArrayLike<number>,
): { sum: number; size: number } {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < left.length; i++) {
    const product = (left[i] ?? NaN) * (right[i] ?? NaN);
    sum += product;
    squares += product * product;
  }
  return { sum, size: Math.sqrt(squares) };
}
