// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import type { Tensor } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { BLOCK_INPUTS } from "../calibration/block_pass.ts";
import { DeviceBlock } from "../calibration/device_block.ts";
import { blockLinears, type LinearShape } from "../models/architecture.ts";
import { forwardBlock } from "../models/block.ts";
import { blockActivations, blockEnvironment } from "../models/block_tensors.ts";
import type { Block } from "../models/language_model.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import { BlockUnit } from "./apiq_block.ts";
import { LayersUnit } from "./apiq_layers.ts";
import { ClippedLinears } from "./clipped_linear.ts";
import type { ClippedGridSettings } from "./clipped_weight.ts";
import { placeTargets } from "./placed_adapters.ts";
import type { ReconstructionUnit } from "./reconstruction.ts";
import { type RunOptions, type TestRun, withRun } from "./testing/models.ts";

const LENGTH = 8;

/** Values of everything that trains, by name. */
type Values = Map<string, Float64Array>;

/** The gradients of a unit on inputs that are written before; those of an earlier step do not matter. */
async function gradientsOf(device: ReferenceDevice, unit: ReconstructionUnit): Promise<Values> {
  device.run(unit.step);
  for (const { slabs } of [unit.clips, unit.factors]) {
    for (const { gradients } of slabs) device.write(gradients, new Float64Array(gradients.size));
  }
  device.run(unit.step);
  return await valuesOf(device, unit, "gradient");
}

async function valuesOf(
  device: ReferenceDevice,
  { clips, factors }: ReconstructionUnit,
  what: "value" | "gradient",
): Promise<Values> {
  const values: Values = new Map();
  for (const space of [clips, factors]) {
    for (const name of space.names()) {
      const tensor = space.get(name)?.[what];
      assert(tensor);
      values.set(name, Float64Array.from(await device.readFloats(tensor)));
    }
  }
  return values;
}

/**
 * A weight on its grid in which rounding is replaced as the straight-through estimator has it: by the
 * constant that it added at the logits of `frozen`, like the zero and which codes are clamped.
 */
function surrogate(
  weights: Float32Array,
  { bits, groupSize, symmetric, containsZero }: ClippedGridSettings,
  frozen: readonly [Float64Array, Float64Array],
  logits: readonly [Float64Array, Float64Array],
): Float64Array {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const top = 2 ** bits - 1;
  const half = 2 ** (bits - 1) - 1;
  const grid = (group: number, [upper, lower]: readonly [Float64Array, Float64Array]) => {
    const values = weights.subarray(group * groupSize, (group + 1) * groupSize);
    const ends = containsZero ? [...values, 0] : [...values];
    const high = sigmoid(upper[group]!) * Math.max(...ends);
    const low = sigmoid(lower[group]!) * Math.min(...ends);
    return symmetric
      ? { scale: Math.max(Math.abs(high), Math.abs(low)) / half, zero: half }
      : { scale: (high - low) / top, zero: Math.round(-low / ((high - low) / top)) };
  };
  return Float64Array.from(weights, (w, index) => {
    const group = Math.floor(index / groupSize);
    const then = grid(group, frozen);
    const { scale } = grid(group, logits);
    const code = Math.round(w / then.scale) + then.zero;
    if (code < 0 || code > top) return scale * (Math.min(Math.max(code, 0), top) - then.zero);
    return scale * (w / scale + Math.round(w / then.scale) - w / then.scale);
  });
}

function normals(name: string, count: number, deviation = 1): Float64Array {
  const random = new RandomStream(11, name);
  return Float64Array.from({ length: count }, (_, index) => deviation * random.normal(index));
}

/** Compares slopes of `loss` along random directions, of each value alone and of all together. */
async function checkSlopes(
  start: Values,
  gradients: Values,
  loss: (values: Values) => Promise<number>,
): Promise<void> {
  const names = [...start.keys()];
  for (const moved of [...names.map((name) => [name]), names]) {
    const step = 1e-5;
    const directions = new Map(moved.map((name) => [
      name,
      normals(`direction of ${name}`, start.get(name)!.length),
    ]));
    const at = (factor: number) =>
      loss(
        new Map(
          [...start].map(([name, values]) => {
            const direction = directions.get(name);
            return [name, values.map((value, i) => value + factor * (direction?.[i] ?? 0))];
          }),
        ),
      );
    const slope = (await at(step) - await at(-step)) / (2 * step);
    let expected = 0;
    for (const [name, direction] of directions) {
      direction.forEach((value, i) => expected += value * gradients.get(name)![i]!);
    }
    assert(expected !== 0, `${moved}: no gradient`);
    assert(
      Math.abs(slope - expected) <= 1e-6 * Math.max(Math.abs(expected), 1e-3),
      `${moved}: the objective changes by ${slope}, the gradient says ${expected}`,
    );
  }
}

/** The full-precision block 0 of a run on its device, and its layers with grids and adapters. */
async function setUp(
  run: TestRun,
  device: ReferenceDevice,
  grid: ClippedGridSettings,
  names?: readonly string[],
) {
  const full = new DeviceBlock(device, run.original, 0);
  await full.fill(run.original);
  const shapes = blockLinears(run.original.config, 0)
    .filter(({ name }) => names === undefined || names.includes(name));
  const sources = shapes.map(({ name }) => ({ linear: full.block.linears[name], grid }));
  const linears = new ClippedLinears(device, sources, run.targets);
  linears.fill(0, ({ shape }) => ({
    shape,
    a: shape.a === null
      ? null
      : Float32Array.from(normals(`A ${shape.a}`, shape.a[0] * shape.a[1], 0.3)),
    b: Float32Array.from(normals(`B ${shape.b}`, shape.b[0] * shape.b[1], 0.3)),
  }));
  for (const name of linears.clips.names()) {
    const value = linears.clips.get(name)?.value;
    if (value) device.write(value, normals(name, value.size, 1.5));
  }
  return { full, shapes, sources, linears };
}

function fill(device: ReferenceDevice, tensors: readonly Tensor[]): Float64Array[] {
  return tensors.map((tensor, index) => {
    const values = normals(`input ${index}`, tensor.size);
    device.write(tensor, values);
    return values;
  });
}

const GRIDS: readonly Partial<ClippedGridSettings>[] = [
  {},
  { symmetric: true, bits: 3 },
  { containsZero: true },
];

const CASES: readonly (readonly [string, RunOptions, Partial<ClippedGridSettings>, boolean])[] = [
  ...GRIDS.map((grid) => [JSON.stringify(grid), {}, grid, false] as const),
  ["two targets", {}, {}, true],
  ["qa-lora", { form: "qa-lora" }, {}, false],
  ["qa-hira", { form: "qa-hira" }, {}, false],
  ["biases", { config: { model_type: "qwen2" } }, {}, false],
  ["some layers", { targets: ["v_proj", "down_proj"] }, {}, false],
];

for (const [name, options, changes, augmented] of CASES) {
  Deno.test(`ApiQ-bw: finite differences of the block's objective, ${name}`, () => {
    const device = new ReferenceDevice();
    const grid = { bits: 2, groupSize: 8, symmetric: false, containsZero: false, ...changes };
    return withRun({ ...options, device, length: LENGTH }, async (run) => {
      const { config } = run.original;
      const { full, shapes, linears } = await setUp(run, device, grid as ClippedGridSettings);
      const { block } = full;
      const unit = new BlockUnit(device, config, "block", block, linears, LENGTH, augmented);
      const [input, ...targets] = fill(device, unit.inputs);
      const start = await valuesOf(device, unit, "value");
      const gradients = await gradientsOf(device, unit);

      const plain = new PlainBlock(device, run, block);
      const weights = await originals(run, shapes);
      await checkSlopes(start, gradients, async (values) => {
        const output = await plain.output(input!, values, (path) =>
          surrogate(
            weights.get(path)!,
            grid as ClippedGridSettings,
            logitsOf(start, path),
            logitsOf(values, path),
          ));
        return targets.reduce((sum, target) => sum + meanSquare(output, target), 0);
      });
      unit.release();
      linears.release();
    }).finally(() => device.close());
  });
}

Deno.test("ApiQ-lw: finite differences of the objective of layers that share an input", () => {
  const device = new ReferenceDevice();
  const grid = { bits: 2, groupSize: 8, symmetric: false, containsZero: false } as const;
  return withRun({ device, length: LENGTH }, async (run) => {
    for (const { linears: names } of BLOCK_INPUTS) {
      for (const augmented of [false, true]) {
        const { shapes, sources, linears } = await setUp(run, device, grid, names);
        const layers = sources.map(({ linear }) => linear);
        const unit = new LayersUnit(device, "layers", layers, linears, LENGTH, augmented);
        const [input, reference] = fill(device, unit.inputs);
        const start = await valuesOf(device, unit, "value");
        const gradients = await gradientsOf(device, unit);
        const weights = await originals(run, shapes);
        await checkSlopes(start, gradients, (values) => {
          let loss = 0;
          for (const shape of shapes) {
            const { path } = shape;
            const [frozen, moved] = [logitsOf(start, path), logitsOf(values, path)];
            const weight = Float64Array.from(weights.get(path)!);
            const learned = surrogate(weights.get(path)!, grid, frozen, moved);
            const { scale, rank } = run.targets.get(path)!.shape;
            const [a, b] = [values.get(`${path}.lora_A`)!, values.get(`${path}.lora_B`)!];
            for (let row = 0; row < shape.rows; row++) {
              for (let column = 0; column < shape.columns; column++) {
                for (let k = 0; k < rank; k++) {
                  learned[row * shape.columns + column]! += scale * b[row * rank + k]! *
                    a[k * shape.columns + column]!;
                }
              }
            }
            const output = times(input!, learned, shape);
            loss += meanSquare(output, times(reference!, weight, shape));
            if (augmented) loss += meanSquare(output, times(input!, weight, shape));
          }
          return Promise.resolve(loss);
        });
        unit.release();
        linears.release();
      }
    }
  }).finally(() => device.close());
});

/** A block with dense weights and adapters that are written before every use. */
class PlainBlock {
  readonly #device: ReferenceDevice;
  readonly #run: TestRun;
  readonly #block: Block;

  constructor(device: ReferenceDevice, run: TestRun, block: Block) {
    this.#device = device;
    this.#run = run;
    const scope = new TensorScope(device);
    const shapes = Object.values(block.linears).map(({ shape }) => shape);
    const { adapterOf } = placeTargets(device, shapes, run.targets);
    const linears = Object.entries(block.linears).map(([name, linear]) => {
      const { rows, columns, path } = linear.shape;
      const values = scope.tensor("f32", [rows, columns], path);
      const weight = { format: "dense" as const, rows, columns, values };
      return [name, { ...linear, weight, adapter: adapterOf(linear.shape) }];
    });
    this.#block = { ...block, linears: Object.fromEntries(linears) };
  }

  async output(
    input: Float64Array,
    values: Values,
    weightOf: (path: string) => Float64Array,
  ): Promise<Float64Array> {
    const device = this.#device;
    const { config } = this.#run.original;
    for (const { shape: { path }, weight, adapter } of Object.values(this.#block.linears)) {
      assert(weight.format === "dense");
      device.write(weight.values, weightOf(path));
      if (adapter === null) continue;
      if (adapter.a !== null) device.write(adapter.a.value, values.get(`${path}.lora_A`)!);
      device.write(adapter.b.value, values.get(`${path}.lora_B`)!);
    }
    const scope = new TensorScope(device);
    const [from, to] = [0, 1].map(() =>
      scope.tensor("f32", [LENGTH, config.hiddenSize], "hidden states")
    ) as [Tensor, Tensor];
    device.write(from, input);
    const environment = blockEnvironment(scope, config, { batchSize: 1, length: LENGTH });
    const activations = blockActivations(scope, config, LENGTH, this.#block);
    const recording = device.record(
      "plain block",
      (operations) =>
        forwardBlock(operations, environment, this.#block, activations, from, to, {
          dropout: false,
        }),
    );
    device.run(recording);
    const output = Float64Array.from(await device.readFloats(to));
    recording.release();
    scope.release();
    return output;
  }
}

function logitsOf(values: Values, path: string): [Float64Array, Float64Array] {
  return [values.get(`${path}.upper`)!, values.get(`${path}.lower`)!];
}

async function originals(
  run: TestRun,
  shapes: readonly LinearShape[],
): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const shape of shapes) {
    const weight = await run.original.weight(shape);
    assert(weight.format === "dense");
    weights.set(shape.path, weight.values);
  }
  return weights;
}

/** `x Wᵀ`. */
function times(
  x: Float64Array,
  weight: Float64Array,
  { rows, columns }: LinearShape,
): Float64Array {
  return Float64Array.from({ length: x.length / columns * rows }, (_, index) => {
    const [token, row] = [Math.floor(index / rows), index % rows];
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += x[token * columns + k]! * weight[row * columns + k]!;
    return sum;
  });
}

function meanSquare(left: Float64Array, right: Float64Array): number {
  return left.reduce((sum, value, index) => sum + (value - right[index]!) ** 2, 0) / left.length;
}
