/**
 * Benchmarks of methods that work layer by layer before training: quantizers and initializers. They
 * run on the host, whatever the device.
 *
 * @module
 */

import type { Benchmark } from "../../kernels/bench/benchmark.ts";
import { planAdapter } from "../adapters/plan.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { zeroModule } from "../initializers/zero.ts";
import { blockLinears, LINEAR_NAMES, type LinearShape } from "../models/architecture.ts";
import { nf4 } from "../quantizers/nf4.ts";
import { rtn } from "../quantizers/rtn.ts";
import { BASE, benchmarkConfig, type ModelName, PatternModel } from "./models.ts";

/** Models whose layers are worked on, and whether all runs have them. */
const MODELS: readonly { readonly model: ModelName; readonly large: boolean }[] = [
  { model: "110M", large: false },
  { model: "1.1B", large: true },
  { model: "7B", large: true },
];

type Quantize = (weights: Float32Array, linear: LinearShape) => HostWeight;

const QUANTIZERS: Readonly<Record<string, Quantize>> = {
  "rtn int4": (weights, { rows, columns, path }) =>
    rtn.quantize(weights, rows, columns, BASE, path),
  "nf4": (weights, { rows, columns, path }) =>
    nf4.quantize(weights, rows, columns, nf4.parameters.parse({ method: "nf4" }), path),
};

/** Quantizers, and the initializer that needs nothing else, on the seven linear layers of a block. */
export function methodBenchmarks(): Benchmark[] {
  return MODELS.flatMap(({ model, large }) => [
    ...Object.entries(QUANTIZERS).map(([name, quantize]) =>
      hostBenchmark(`quantize ${name}`, model, large, async () => {
        const layers = await blockWeights(model);
        return () => layers.forEach(({ linear, values }) => quantize(values, linear));
      })
    ),
    hostBenchmark("initialize zero", model, large, () => {
      const block = { rows: BASE.block_rows, columns: BASE.group_size };
      const layers = blockLinears(benchmarkConfig(model), 0).map((linear) => ({
        linear,
        shape: planAdapter(ADAPTER, linear, block),
      }));
      return () => {
        for (const { linear, shape } of layers) {
          if (shape !== null) zeroModule(linear, shape, 0);
        }
      };
    }),
  ]);
}

const ADAPTER = {
  form: "lora",
  rank: 16,
  alpha: 16,
  lambda: 2,
  rankStabilized: false,
  pooling: "average",
  budget: null,
  targets: LINEAR_NAMES,
} as const;

function hostBenchmark(
  name: string,
  model: ModelName,
  large: boolean,
  arrange: () => (() => void) | Promise<() => void>,
): Benchmark {
  return {
    suite: "methods",
    name,
    shape: `a layer of ${model}`,
    work: {},
    large,
    async prepare() {
      const call = await arrange();
      return {
        queue(calls) {
          for (let done = 0; done < calls; done++) call();
        },
        release() {},
      };
    },
  };
}

async function blockWeights(
  model: ModelName,
): Promise<{ linear: LinearShape; values: Float32Array }[]> {
  const config = benchmarkConfig(model);
  const source = new PatternModel(config, "f32");
  return await Promise.all(
    blockLinears(config, 0).map(async (linear) => {
      const weight = await source.weight(linear);
      if (weight.format !== "dense") throw new TypeError("Benchmarks quantize dense weights");
      return { linear, values: weight.values };
    }),
  );
}
