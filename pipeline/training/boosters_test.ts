// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import type { Tensor } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { adapterParameterShapes, placeOutline } from "../adapters/placement.ts";
import { mergeIntoDense } from "../adapters/merge.ts";
import type { Example } from "../data/dataset.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { Linear } from "../models/language_model.ts";
import { forwardLinears } from "../models/linear_layer.ts";
import { ParameterSpace } from "../models/parameters.ts";
import { countTargets, writeRows } from "./batch.ts";
import { Boosters } from "./boosters.ts";
import type { Rounds } from "./rounds.ts";
import { randomRows } from "./testing/bigram.ts";
import {
  baseModel,
  blockOf,
  BLOCKS,
  type BoostedModel,
  boostedModel,
  SEED,
} from "./testing/boosted_model.ts";
import { boost, PAIR_FORMS, SCHEME, snapshot } from "./testing/train_boosted.ts";
import { blocksOfRound, drawBlocks, type XgbloraOptions } from "./xgblora.ts";

/** `[rows, columns]` product of `b [rows, rank]` and `a [rank, columns]` in float64. */
function product(b: ArrayLike<number>, a: ArrayLike<number>, rank: number): Float64Array {
  const [rows, columns] = [b.length / rank, a.length / rank];
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let k = 0; k < rank; k++) {
        result[row * columns + column]! += b[row * rank + k]! * a[k * columns + column]!;
      }
    }
  }
  return result;
}

/** Rank of a matrix: pivots of Gaussian elimination that are not rounding. */
function rankOf(values: Float64Array, rows: number): number {
  const columns = values.length / rows;
  const work = Float64Array.from(values);
  const tolerance = 1e-10 * Math.max(...work.map(Math.abs));
  let rank = 0;
  const left = new Set(Array.from({ length: rows }, (_, row) => row));
  for (; rank < Math.min(rows, columns); rank++) {
    let [pivotRow, pivotColumn] = [-1, -1];
    let largest = tolerance;
    for (const row of left) {
      for (let column = 0; column < columns; column++) {
        const size = Math.abs(work[row * columns + column]!);
        if (size > largest) [largest, pivotRow, pivotColumn] = [size, row, column];
      }
    }
    if (pivotRow < 0) break;
    left.delete(pivotRow);
    for (const row of left) {
      const factor = work[row * columns + pivotColumn]! /
        work[pivotRow * columns + pivotColumn]!;
      for (let column = 0; column < columns; column++) {
        work[row * columns + column]! -= factor * work[pivotRow * columns + column]!;
      }
    }
  }
  return rank;
}

/** How often blocks were drawn in rounds before `rounds`. */
function timesDrawn(scheme: XgbloraOptions, rounds = scheme.rounds): number[] {
  const times = Array.from({ length: BLOCKS }, () => 0);
  for (let round = 0; round < rounds; round++) {
    const count = blocksOfRound(scheme, BLOCKS);
    for (const block of drawBlocks({ seed: SEED, round, blocks: BLOCKS, count })) times[block]!++;
  }
  return times;
}

Deno.test("the rank of a layer's sum of updates is at most r times the rounds that drew it", async () => {
  for (const rank of [1, 2]) {
    await boost({ scheme: SCHEME, model: { rank } }, (_, { modules }) => {
      for (const [path, { shape, a, b }] of modules) {
        const rows = shape.b[0];
        const times = timesDrawn(SCHEME)[blockOf(path)]!;
        const limit = Math.min(rank * times, rows, shape.a![1]);
        // Boosters of different rounds are independent, so the bound is reached.
        assert.equal(rankOf(product(b, a!, shape.rank), rows), limit, path);
      }
    });
  }
});

for (const form of PAIR_FORMS) {
  Deno.test(`the adapter is the sum of the updates of its rounds: ${form}`, async () => {
    const scheme = { ...SCHEME, step_size: 0.5 };
    const recorded: Map<string, { a: Tensor; b: Tensor }>[] = [];
    const watch = (rounds: Rounds, { device, first, space }: BoostedModel): Partial<Rounds> => ({
      end(round) {
        recorded.push(
          new Map([...first.modules.keys()].map((path) => [path, {
            a: snapshot(device, space.get(`${path}.lora_A`)!.value),
            b: snapshot(device, space.get(`${path}.lora_B`)!.value),
          }])),
        );
        rounds.end(round);
      },
    });
    const model = { form, rank: 2 };
    await boost({ scheme, model, watch }, async ({ device, first }, { modules, description }) => {
      assert.equal(modules.size, 7 * BLOCKS);
      assert.equal(recorded.length, 4);
      for (const [path, { shape, a, b }] of modules) {
        const { rank, scale } = first.modules.get(path)!.shape;
        assert.deepEqual([shape.rank, a!.length, b.length], [
          4 * rank,
          shape.rank * shape.a![1],
          shape.b[0] * shape.rank,
        ]);
        const actual = product(b, a!, shape.rank).map((value) => shape.scale * value);
        const expected = new Float64Array(actual.length);
        for (const round of recorded) {
          const booster = round.get(path)!;
          const update = product(
            await device.readFloats(booster.b),
            await device.readFloats(booster.a),
            rank,
          );
          update.forEach((value, index) => expected[index]! += 0.5 * scale * value);
        }
        const largest = Math.max(...expected.map(Math.abs));
        actual.forEach((value, index) => {
          assert.ok(Math.abs(value - expected[index]!) <= 1e-6 * largest, path);
        });
      }
      if (form === "lora") {
        assert.equal(description.peft?.r, 8);
        assert.equal(description.peft?.lora_alpha, 6 * 4 * 0.5);
      }
    });
  });
}

/** Normal values that are the same in every run. */
function normal(purpose: string, size: number, deviation = 1): Float64Array {
  const random = new RandomStream(3, purpose);
  return Float64Array.from({ length: size }, (_, index) => deviation * random.normal(index));
}

/** Gives all boosters values, those that train and those of earlier rounds. */
function fillBoosters({ device, batch, boosters }: BoostedModel): void {
  const slabs = batch.slabs.map(({ name, parameters }) => [name, parameters] as const);
  for (const [name, tensor] of [...boosters!.state, ...slabs]) {
    device.write(tensor, normal(name, tensor.size, 0.3));
  }
}

/** Mean loss of fixed rows. */
async function lossOf({ batch, device }: BoostedModel, rows: readonly Example[]): Promise<number> {
  writeRows(batch, rows, 1 / countTargets(rows));
  device.run(batch.forward);
  const [losses, weights] = [
    await device.readFloats(batch.losses),
    await device.readFloats(batch.weights),
  ];
  return Array.from(losses).reduce((sum, loss, index) => sum + loss * weights[index]!, 0);
}

const ROWS = [0, 1, 2].map((index) => randomRows(3, 2).example(index));

for (const form of PAIR_FORMS) {
  Deno.test(`gradients of boosters pass through those of earlier rounds: ${form}`, async () => {
    const device = new ReferenceDevice();
    const boosted = await boostedModel(device, 3, { ...SCHEME, step_size: 0.5 }, 12, { form });
    fillBoosters(boosted);
    const { batch } = boosted;
    await lossOf(boosted, ROWS);
    device.run(batch.forwardBackward);
    for (const { parameters, gradients } of batch.slabs) {
      const gradient = await device.readFloats(gradients);
      const start = Float64Array.from(await device.readFloats(parameters));
      const direction = normal("direction", start.length);
      const at = (step: number) => {
        device.write(parameters, start.map((value, index) => value + step * direction[index]!));
        return lossOf(boosted, ROWS);
      };
      const slope = (await at(1e-5) - await at(-1e-5)) / 2e-5;
      const expected = direction.reduce((sum, value, index) => sum + value * gradient[index]!, 0);
      // The layout of slabs has gaps, whose gradient is zero.
      assert.ok(Math.abs(slope - expected) <= 1e-6 * Math.abs(slope), `${slope} and ${expected}`);
    }
    device.close();
  });

  Deno.test(`computing with earlier boosters is computing with merged weights: ${form}`, async () => {
    const device = new ReferenceDevice();
    const scheme = { ...SCHEME, step_size: 0.5 };
    const boosted = await boostedModel(device, 3, scheme, 12, { form, dense: true });
    fillBoosters(boosted);
    for (const { parameters } of boosted.batch.slabs) {
      device.write(parameters, new Float64Array(parameters.size));
    }
    const adapter = await boosted.boosters!.adapter(boosted.first);
    const merged = await boostedModel(device, 3, scheme, 12, { form, dense: true });
    for (const { linears } of merged.model.blocks) {
      for (const { shape, weight } of Object.values(linears)) {
        const base = await baseModel(true).weight(shape);
        const module = adapter.modules.get(shape.path);
        assert.ok(base.format === "dense" && weight.format === "dense" && module !== undefined);
        device.write(weight.values, mergeIntoDense(base, module).values);
      }
    }
    const before = await lossOf(
      await boostedModel(device, 3, scheme, 12, { form, dense: true }),
      ROWS,
    );
    const [kept, into] = [await lossOf(boosted, ROWS), await lossOf(merged, ROWS)];
    assert.ok(Math.abs(kept - into) < 1e-5, `${kept} and ${into}: weights are rounded to f32`);
    assert.ok(Math.abs(kept - before) > 1e-3, "the boosters matter");
    device.close();
  });
}

/** An orthogonal matrix: the reflection along a random direction. */
function reflection(purpose: string, size: number): Float64Array {
  const direction = normal(purpose, size);
  const square = direction.reduce((sum, value) => sum + value * value, 0);
  return Float64Array.from(
    { length: size * size },
    (_, index) => {
      const [row, column] = [Math.floor(index / size), index % size];
      return (row === column ? 1 : 0) - 2 * direction[row]! * direction[column]! / square;
    },
  );
}

/** The best approximation `b a^T` of `values [rows, columns]`, by alternating least squares. */
function bestPair(values: Float64Array, rows: number): { a: Float64Array; b: Float64Array } {
  const columns = values.length / rows;
  let a = normal("start of alternating least squares", columns);
  let b = new Float64Array(rows);
  const square = (vector: Float64Array) => vector.reduce((sum, value) => sum + value * value, 0);
  for (let round = 0; round < 400; round++) {
    b = product(values, a, columns).map((value) => value / square(a));
    a = product(b, values, rows).map((value) => value / square(b));
  }
  return { a, b };
}

for (const stepSize of [1, 0.5]) {
  Deno.test(`boosting a least-squares problem deflates its singular values, step size ${stepSize}`, async () => {
    const [rows, columns] = [6, 8];
    const singularValues = [8, 5, 3, 1.7, 0.9, 0.2];
    const [left, right] = [reflection("left", rows), reflection("right", columns)];
    const middle = new Float64Array(rows * columns);
    singularValues.forEach((value, index) => middle[index * columns + index] = value);
    const target = product(product(left, middle, rows), right, columns);

    const device = new ReferenceDevice();
    const path = "model.layers.0.self_attn.q_proj";
    const linear: LinearShape = { name: "q_proj", path, layer: 0, rows, columns, bias: false };
    const shape = { pool: 1, repeat: 1, rank: 1, scale: 3, a: [1, columns], b: [rows, 1] } as const;
    const adapter = { modules: new Map([[path, { shape }]]) };
    const space = new ParameterSpace(device, adapterParameterShapes(adapter));
    const rounds = singularValues.length;
    const boosters = new Boosters(device, space, adapter, {
      rounds,
      step_size: stepSize,
      tokens: columns,
    });
    // W x for every unit vector x is the transposed weight.
    const tensor = (name: string, ...shape: number[]) => device.tensor("f32", shape, name);
    const input = tensor("input", columns, columns);
    for (let index = 0; index < columns; index++) {
      device.write(input, Float64Array.of(1), index * (columns + 1));
    }
    const layer: Linear = {
      shape: linear,
      weight: { format: "dense", rows, columns, values: tensor("weight", rows, columns) },
      gradient: null,
      bias: null,
      adapter: placeOutline(adapter, null, boosters.earlier)(linear, space),
    };
    const output = tensor("output", columns, rows);
    const hidden = tensor("hidden", columns, 1);
    const forward = device.record(
      "forward",
      (operations) =>
        forwardLinears(operations, [{ linear: layer, output, hidden }], input, {
          accumulate: false,
          dropout: false,
        }),
    );
    const residual = async () => {
      device.run(forward);
      const values = await device.readFloats(output);
      return target.map((value, index) =>
        value - values[index % columns * rows + Math.floor(index / columns)]!
      );
    };
    const remaining = [...singularValues];
    for (let round = 0; round < rounds; round++) {
      const { a, b } = bestPair(await residual(), rows);
      device.write(space.get(`${path}.lora_A`)!.value, a);
      device.write(space.get(`${path}.lora_B`)!.value, b.map((value) => value / shape.scale));
      boosters.join(round);
      // The optimum of a round is the largest singular value that is left, and its vectors.
      remaining.sort((one, other) => other - one);
      remaining[0]! *= 1 - stepSize;
      const error = (await residual()).reduce((sum, value) => sum + value * value, 0);
      const expected = remaining.reduce((sum, value) => sum + value * value, 0);
      assert.ok(Math.abs(error - expected) < 1e-9, `round ${round}: ${error}, not ${expected}`);
    }
    device.close();
  });
}
