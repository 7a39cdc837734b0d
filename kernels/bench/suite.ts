/**
 * Every benchmark of a kernel.
 *
 * @module
 */

import { type Benchmark, benchmarkOf } from "./benchmark.ts";
import { layerBenchmarks } from "./layers.ts";
import { layerSweep, productBenchmarks } from "./products.ts";
import { SIZES } from "./shapes.ts";

/** All kernels at all sizes, small models first; then linear layers over numbers of rows. */
export function kernelBenchmarks(): Benchmark[] {
  const kernels = SIZES.flatMap((size) => [...productBenchmarks(size), ...layerBenchmarks(size)]);
  return [...kernels, ...layerSweep()].map(benchmarkOf);
}
