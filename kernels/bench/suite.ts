/**
 * Every benchmark of a kernel.
 *
 * @module
 */

import { type Benchmark, benchmarkOf } from "./benchmark.ts";
import { layerBenchmarks } from "./layers.ts";
import { productBenchmarks } from "./products.ts";
import { SIZES } from "./shapes.ts";

/** All kernels at all sizes, small models first. */
export function kernelBenchmarks(): Benchmark[] {
  return SIZES.flatMap((size) => [...productBenchmarks(size), ...layerBenchmarks(size)])
    .map(benchmarkOf);
}
