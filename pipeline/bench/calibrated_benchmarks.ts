/**
 * Benchmarks of calibrated methods on square layers, given their Gram matrix: how time grows with the
 * width. They run on the host, on one thread, whatever the device.
 *
 * @module
 */

import type { Benchmark } from "../../kernels/bench/benchmark.ts";
import { RandomStream } from "../../kernels/random.ts";
import type { LayerCalibration } from "../calibration/layer_calibration.ts";
import { cloq } from "../initializers/cloq.ts";
import type { InitializerLayer } from "../initializers/initializer.ts";
import { loftq } from "../initializers/loftq.ts";
import { quailora } from "../initializers/quailora.ts";
import { matrix } from "../linalg/matrix.ts";
import { gptq } from "../quantizers/gptq.ts";
import { rtn } from "../quantizers/rtn.ts";
import { BASE } from "./models.ts";

/** Widths, and whether all runs have them. */
const WIDTHS: readonly { readonly width: number; readonly large: boolean }[] = [
  { width: 512, large: false },
  { width: 1024, large: false },
  { width: 2048, large: true },
  { width: 4096, large: true },
];

const RANK = 64;

/** What a method is timed on. */
interface Subject {
  readonly weights: Float32Array;
  readonly width: number;
  readonly calibration: LayerCalibration;
}

const GPTQ = gptq.parameters.parse({ method: "gptq", bits: 4, group_size: 64 });

const METHODS: Readonly<Record<string, (subject: Subject) => () => void>> = {
  "quantize gptq int4": ({ weights, width, calibration }) => () =>
    gptq.quantize(weights, width, width, GPTQ, "layer", calibration),
  "initialize loftq r64": (subject) => {
    const layer = layerOf(subject);
    return () => loftq.initialize(layer, loftq.parameters.parse({ method: "loftq" }));
  },
  "initialize quailora r64": (subject) => {
    const layer = layerOf(subject);
    return () => quailora.initialize(layer, quailora.parameters.parse({ method: "quailora" }));
  },
  "initialize cloq r64": (subject) => {
    const layer = layerOf(subject);
    return () => cloq.initialize(layer, cloq.parameters.parse({ method: "cloq" }));
  },
};

/** Each method on each width; what a layer of 4096 x 4096 takes with GPTQ and CLoQ is their sum. */
export function calibratedBenchmarks(): Benchmark[] {
  return WIDTHS.flatMap(({ width, large }) =>
    Object.entries(METHODS).map(([name, arrange]) => ({
      suite: "methods",
      name,
      shape: `${width}x${width}, given its Gram matrix`,
      work: {},
      large,
      prepare() {
        const call = arrange(subjectOf(width));
        return Promise.resolve({
          queue(calls: number) {
            for (let done = 0; done < calls; done++) call();
          },
          release() {},
        });
      },
    }))
  );
}

/** Normal weights, and inputs that are correlated with their neighbours: H_ij = 0.9^|i - j|. */
function subjectOf(width: number): Subject {
  const stream = new RandomStream(1, "benchmark weights");
  const weights = Float32Array.from(
    { length: width * width },
    (_, index) => 0.02 * stream.normal(index),
  );
  const gram = matrix(
    width,
    width,
    Float64Array.from(
      { length: width * width },
      (_, index) => 0.9 ** Math.abs(Math.floor(index / width) - index % width),
    ),
  );
  return { weights, width, calibration: { gram, tokens: 128 * 2048, sample: null } };
}

function layerOf({ weights, width, calibration }: Subject): InitializerLayer {
  const requantize = (values: Float32Array) => rtn.quantize(values, width, width, BASE, "layer");
  return {
    linear: { path: "layer", name: "q_proj", layer: 0, rows: width, columns: width, bias: false },
    shape: { pool: 1, repeat: 1, rank: RANK, scale: 1, a: [RANK, width], b: [width, RANK] },
    seed: 0,
    original: weights,
    base: requantize(weights),
    calibration,
    requantize,
  };
}
