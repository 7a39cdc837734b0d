// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Layers for tests of initializers, with heavy-tailed weights and correlated inputs, and their errors
 * from the definitions: dense matrices, nothing reduced, nothing factored.
 *
 * @module
 */

import type { HostModule } from "../../adapters/adapter.ts";
import { tileUpdate } from "../../adapters/merge.ts";
import { planAdapter, type Pooling } from "../../adapters/plan.ts";
import type { LayerCalibration } from "../../calibration/layer_calibration.ts";
import { dequantizeHost, type HostWeight } from "../../formats/host_weight.ts";
import { type Matrix, matrix } from "../../linalg/matrix.ts";
import type { LinearShape } from "../../models/architecture.ts";
import { rtn } from "../../quantizers/rtn.ts";
import { RandomStream } from "../../../kernels/random.ts";
import type { InitializedLayer, InitializerLayer } from "../initializer.ts";

/** What a test may choose of a layer. */
export interface LayerOptions {
  readonly rows?: number;
  readonly columns?: number;
  readonly form?: string;
  readonly rank?: number;
  readonly alpha?: number;
  readonly lambda?: number;
  readonly pool?: number;
  readonly repeat?: number;
  readonly pooling?: Pooling;
  readonly bits?: 2 | 3 | 4 | 8;
  readonly groupSize?: number;
  readonly blockRows?: number;
  /** Rows of X; with fewer than `columns` its Gram matrix is singular. */
  readonly tokens?: number;
  /** Instead of that of X. */
  readonly gram?: Matrix;
  readonly seed?: number;
}

/** A layer with all that a method may ask for. */
export interface TestLayer extends InitializerLayer {
  readonly original: Float32Array;
  readonly calibration: LayerCalibration;
  readonly requantize: (weights: Float32Array) => HostWeight;
}

/** A random layer `[24, 32]` with an INT2 base in groups of 8 and LoRA of rank 4, or as told. */
export function testLayer(options: LayerOptions = {}): TestLayer {
  const { rows = 24, columns = 32, seed = 1, tokens = 200, pooling = "average" } = options;
  const { form = "lora", rank = 4, alpha = 4, lambda = 2 } = options;
  const { bits = 2, groupSize = 8, blockRows = 1 } = options;
  const linear: LinearShape = {
    name: "q_proj",
    path: "model.layers.0.self_attn.q_proj",
    layer: 0,
    rows,
    columns,
    bias: false,
  };
  const shape = planAdapter(
    {
      form,
      rank,
      alpha,
      lambda,
      pooling,
      pool: options.pool,
      repeat: options.repeat,
      rankStabilized: false,
      budget: null,
      targets: [linear.name],
    },
    linear,
    { rows: blockRows, columns: groupSize },
  );
  if (shape === null) throw new Error("the layer is a target");
  const original = heavyTailed(rows * columns, seed);
  const requantize = (weights: Float32Array) =>
    rtn.quantize(
      weights,
      rows,
      columns,
      { method: "rtn", bits, group_size: groupSize, block_rows: blockRows, symmetric: false },
      linear.path,
    );
  const gram = options.gram ?? gramMatrix(tokens, columns, seed);
  return {
    linear,
    shape,
    seed,
    original,
    base: requantize(original),
    calibration: { gram, tokens, sample: null },
    requantize,
  };
}

/** Student's t with 5 degrees of freedom, like trained weights. */
function heavyTailed(count: number, seed: number): Float32Array {
  const random = new RandomStream(seed, "weights");
  return Float32Array.from({ length: count }, (_, i) => {
    let squares = 0;
    for (let k = 1; k <= 5; k++) squares += random.normal(6 * i + k) ** 2;
    return random.normal(6 * i) / Math.sqrt(squares / 5);
  });
}

/** Of inputs that are mixtures of features with falling strength. */
export function gramMatrix(tokens: number, columns: number, seed: number): Matrix {
  const random = new RandomStream(seed, "inputs");
  const mix = new RandomStream(seed, "mixture");
  const gram = matrix(columns, columns);
  const input = new Float64Array(columns);
  for (let token = 0; token < tokens; token++) {
    input.fill(0);
    for (let k = 0; k < columns; k++) {
      const strength = random.normal(token * columns + k) * 0.9 ** k;
      for (let j = 0; j < columns; j++) input[j]! += strength * mix.normal(k * columns + j);
    }
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        gram.values[i * columns + j]! += input[i]! * input[j]! / tokens;
      }
    }
  }
  return gram;
}

/** `W - Q - delta W` of the factors and the base as they are returned. */
export function remainder(layer: TestLayer, { module, base }: InitializedLayer): Matrix {
  const quantized = dequantizeHost(base ?? layer.base);
  const delta = expand(module, layer.linear.columns);
  const { rows, columns } = layer.linear;
  return matrix(
    rows,
    columns,
    Float64Array.from(layer.original, (value, i) => value - quantized[i]! - delta[i]!),
  );
}

/** `W - Q`. */
export function baseError(layer: TestLayer): Matrix {
  const quantized = dequantizeHost(layer.base);
  const values = Float64Array.from(layer.original, (value, i) => value - quantized[i]!);
  return matrix(layer.linear.rows, layer.linear.columns, values);
}

/** `delta W [rows, columns]` of a module, from the definition that merging uses. */
export function expand(module: HostModule, columns: number): Float64Array {
  const { shape: { pool, repeat, b: [outputs] } } = module;
  const tiles = tileUpdate(module);
  return Float64Array.from({ length: outputs * repeat * columns }, (_, i) => {
    const row = Math.floor(i / columns);
    const tile = Math.floor(row / repeat) * (columns / pool) + Math.floor(i % columns / pool);
    return tiles[tile]!;
  });
}

/** `tr(D H Dᵀ)` element by element; the square of the Frobenius norm without H. */
export function squaredNorm({ rows, columns, values }: Matrix, gram?: Matrix): number {
  let norm = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < columns; i++) {
      if (gram === undefined) norm += values[row * columns + i]! ** 2;
      else {
        for (let j = 0; j < columns; j++) {
          norm += values[row * columns + i]! * gram.values[i * columns + j]! *
            values[row * columns + j]!;
        }
      }
    }
  }
  return norm;
}

/** The plain product, of small matrices. */
export function product(left: Matrix, right: Matrix): Matrix {
  const result = matrix(left.rows, right.columns);
  for (let i = 0; i < left.rows; i++) {
    for (let j = 0; j < right.columns; j++) {
      for (let k = 0; k < left.columns; k++) {
        result.values[i * right.columns + j]! += left.values[i * left.columns + k]! *
          right.values[k * right.columns + j]!;
      }
    }
  }
  return result;
}

/** Eigenvalues of a small symmetric matrix in descending order, by Jacobi's rotations. */
export function eigenvalues(source: Matrix): number[] {
  const n = source.rows;
  const a = source.values.slice();
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p * n + q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p * n + q]!, a[q * n + q]! - a[p * n + p]!);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[k * n + p]!, a[k * n + q]!];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[p * n + k]!, a[q * n + k]!];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
      }
    }
  }
  return Array.from({ length: n }, (_, i) => a[i * (n + 1)]!).sort((x, y) => y - x);
}

/** Σ of the values after the first `rank`: what no matrix of that rank can take away. */
export function tailSum(values: readonly number[], rank: number): number {
  return values.slice(rank).reduce((sum, value) => sum + value, 0);
}
