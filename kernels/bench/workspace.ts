/**
 * Operands of benchmarks: random values where a kernel reads, zeros where it writes.
 *
 * @module
 */

import {
  type Device,
  type IntegerBits,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  sizeOf,
  type Tensor,
  type Weight,
} from "../device.ts";
import { codeWords } from "../packing.ts";
import { RandomStream } from "../random.ts";

/** How a benchmark's weight is stored. */
export type WeightFormat = "dense" | "nf4" | `int${IntegerBits}`;

/** Every format that kernels read. */
export const WEIGHT_FORMATS: readonly WeightFormat[] = [
  "dense",
  "int8",
  "int4",
  "nf4",
  "int3",
  "int2",
];

/** Inputs that share a scale; also the block of NF4, so that formats compare. */
const GROUP = 64;

/** Random values that tensors repeat: timing does not depend on them, and making them takes time. */
const PATTERN = 8191;

/** Memory of one benchmark. */
export class Workspace {
  readonly #device: Device;
  readonly #tensors: Tensor[] = [];

  /** Starts without memory. */
  constructor(device: Device) {
    this.#device = device;
  }

  /** Zeros. */
  zeros(shape: readonly number[], label: string): Tensor {
    const tensor = this.#device.tensor("f32", shape, label);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Normal values around 0, or around `mean`. */
  floats(shape: readonly number[], label: string, { mean = 0, deviation = 1 } = {}): Tensor {
    const tensor = this.zeros(shape, label);
    const pattern = normalPattern().map((value) => mean + deviation * value);
    this.#device.write(tensor, repeated(pattern, new Float32Array(tensor.size)));
    return tensor;
  }

  /** Random words below `limit`, by default any. */
  words(shape: readonly number[], label: string, limit = 2 ** 32): Tensor {
    const tensor = this.#device.tensor("u32", shape, label);
    this.#tensors.push(tensor);
    const pattern = Uint32Array.from(uniformPattern(), (value) => Math.floor(limit * value));
    this.#device.write(tensor, repeated(pattern, new Uint32Array(tensor.size)));
    return tensor;
  }

  /** A weight of plausible size in any format. */
  weight(format: WeightFormat, rows: number, columns: number): Weight {
    const shape = { rows, columns };
    if (format === "dense") {
      const values = this.floats([rows, columns], "weight", { deviation: 0.02 });
      return { format, ...shape, values };
    }
    const groups = rows * columns / GROUP;
    if (format === "nf4") {
      return {
        format,
        ...shape,
        codes: this.words([rows, codeWords(4, columns)], "codes"),
        absmax: {
          kind: "double",
          codes: this.words([Math.ceil(rows * columns / NF4_BLOCK / 4)], "absmax codes"),
          scales: this.floats(
            [Math.ceil(rows * columns / NF4_BLOCK / NF4_ABSMAX_BLOCK)],
            "scales",
            {
              mean: 0.02,
              deviation: 0.002,
            },
          ),
          offset: this.floats([1], "offset", { mean: 0.04, deviation: 0 }),
        },
      };
    }
    const bits = Number(format.slice(3)) as IntegerBits;
    const blocks = [rows, columns / GROUP];
    return {
      format: "integer",
      ...shape,
      bits,
      blockRows: 1,
      blockColumns: GROUP,
      codes: this.words([rows, codeWords(bits, columns)], "codes"),
      scales: this.floats(blocks, "scales", {
        mean: 0.08 / 2 ** bits,
        deviation: 0.01 / 2 ** bits,
      }),
      zeros: this.floats(blocks, `zeros of ${groups} groups`, { mean: 2 ** (bits - 1) }),
    };
  }

  /** Calls a function that allocates here; what it had allocated goes if it throws. */
  arrange<Result>(allocate: (workspace: Workspace) => Result): Result {
    try {
      return allocate(this);
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Frees everything. */
  release(): void {
    for (const tensor of this.#tensors) this.#device.free(tensor);
    this.#tensors.length = 0;
  }
}

/** Fills `target` with copies of `pattern`, the last one cut off. */
export function repeated<Values extends Float32Array | Uint32Array>(
  pattern: Values,
  target: Values,
): Values {
  let filled = Math.min(pattern.length, target.length);
  for (let index = 0; index < filled; index++) target[index] = pattern[index] ?? 0;
  while (filled < target.length) {
    const count = Math.min(filled, target.length - filled);
    target.copyWithin(filled, 0, count);
    filled += count;
  }
  return target;
}

/** Bytes of tensors and weights, each counted once. */
export function bytesOf(...shapes: readonly (readonly number[])[]): number {
  return 4 * shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/** Bytes of a weight as {@linkcode Workspace.weight} makes it. */
export function weightBytes(format: WeightFormat, rows: number, columns: number): number {
  if (format === "dense") return bytesOf([rows, columns]);
  const blocks = rows * columns / GROUP;
  if (format === "nf4") return 4 * rows * codeWords(4, columns) + blocks;
  const bits = Number(format.slice(3)) as IntegerBits;
  return 4 * rows * codeWords(bits, columns) + 8 * blocks;
}

let normals: Float32Array | null = null;

function normalPattern(): Float32Array {
  const random = new RandomStream(0, "benchmark normals");
  normals ??= Float32Array.from({ length: PATTERN }, (_, index) => random.normal(index));
  return normals;
}

let uniforms: Float64Array | null = null;

function uniformPattern(): Float64Array {
  const random = new RandomStream(0, "benchmark uniforms");
  uniforms ??= Float64Array.from({ length: PATTERN }, (_, index) => random.uniform(index));
  return uniforms;
}
