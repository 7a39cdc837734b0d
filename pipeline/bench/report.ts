/**
 * Running benchmarks and what comes out: rates, shares of the device's ceilings, and where it was
 * measured.
 *
 * @module
 */

import { type Device, DeviceError } from "../../kernels/device.ts";
import type { Benchmark } from "../../kernels/bench/benchmark.ts";
import { copyCeiling, fmaCeiling } from "../../kernels/bench/ceilings.ts";
import { queuesAhead } from "../../kernels/bench/host.ts";
import {
  CEILING_EFFORT,
  chooseClock,
  type Clock,
  DEFAULT_EFFORT,
  type Effort,
  measure,
  type Measurement,
} from "../../kernels/bench/measure.ts";
import { kernelBenchmarks } from "../../kernels/bench/suite.ts";
import { ConfigurationError } from "../graph/experiment.ts";
import { didYouMean } from "../graph/suggestions.ts";
import { calibratedBenchmarks } from "./calibrated_benchmarks.ts";
import { methodBenchmarks } from "./method_benchmarks.ts";
import { generationBenchmarks } from "./generation_benchmarks.ts";
import { modelBenchmarks } from "./model_benchmarks.ts";

/** Version of the JSON form. */
export const BENCHMARKS_VERSION = 2;

/** Results of a run. */
export interface BenchmarkReport {
  /** Tells this JSON from others. */
  readonly format: "equipoise/benchmarks";
  /** Of the schema. */
  readonly version: typeof BENCHMARKS_VERSION;
  /** ISO 8601, UTC. */
  readonly started: string;
  /** ISO 8601, UTC. */
  readonly finished: string;
  /** Version of Deno. */
  readonly deno: string;
  /** "linux x86_64 6.1.0". */
  readonly os: string;
  /** Logical processors. */
  readonly processors: number;
  /** Runnable processes over the last minute, when the run started and when it ended. */
  readonly loadAverage: readonly [number, number];
  /** Where it ran. */
  readonly device: { readonly name: string; readonly class: string; readonly description: string };
  /** What the end of work was taken from. */
  readonly clock: Clock;
  /** Best speeds of the yardsticks; null where the device has none. */
  readonly ceilings: Ceilings;
  /** One per benchmark, in the order measured. */
  readonly results: readonly BenchmarkResult[];
  /** What the device cannot hold, and what it said. */
  readonly skipped: readonly SkippedBenchmark[];
}

/** A benchmark that did not run. */
export interface SkippedBenchmark {
  /** "train lora r16 int4". */
  readonly name: string;
  /** "7B, 1x512". */
  readonly shape: string;
  /** The device's message. */
  readonly reason: string;
}

/** What the device can do at most. */
export interface Ceilings {
  /** Multiply-adds on registers, two operations each. */
  readonly gigaflops: number | null;
  /** Reading and writing memory at once, both counted. */
  readonly gigabytes: number;
}

/** Times and rates of one benchmark; rates are those of the median. */
export interface BenchmarkResult {
  /** "kernels". */
  readonly suite: string;
  /** "linear int4". */
  readonly name: string;
  /** "512x128 -> 384". */
  readonly shape: string;
  /** Calls in each sample. */
  readonly calls: number;
  /** Milliseconds of one call, by sample, in the order measured. */
  readonly samples: readonly number[];
  /** Milliseconds. */
  readonly median: number;
  /** Milliseconds. */
  readonly minimum: number;
  /** Half the distance between the quartiles, as a share of the median. */
  readonly noise: number;
  /** GFLOP/s. */
  readonly gigaflops: number | null;
  /** Share of the ceiling of multiply-adds. */
  readonly arithmeticShare: number | null;
  /** GB/s. */
  readonly gigabytes: number | null;
  /** Share of the ceiling of copies. */
  readonly memoryShare: number | null;
  /** Tokens per second. */
  readonly tokens: number | null;
  /** Time that the host needs for a step, as a share of the rest; null where there is none. */
  readonly hostShare: number | null;
}

/** What to run. */
export interface BenchmarkOptions {
  /** Only benchmarks with all these words in suite, name or shape, letter case ignored. */
  readonly filter?: string;
  /** Also what takes long. Default: only if the filter leaves nothing else. */
  readonly full?: boolean;
  /** Of the CPU device. Default: the processors that this process may use. */
  readonly threads?: number;
  /**
   * How long and how often.
   *
   * @default {@linkcode DEFAULT_EFFORT}
   */
  readonly effort?: Effort;
  /** Called once the ceilings are known, with a guess of the seconds that the rest will take. */
  readonly onPlan?: (total: number, seconds: number) => void;
  /** Called before each benchmark. */
  readonly onStart?: (name: string, done: number, total: number) => void;
}

/**
 * The benchmarks with all words of a text in suite, name or shape: of the usual ones, or, with `full`
 * or where the words name none of those, of all.
 *
 * @throws {ConfigurationError} If there is none.
 */
export function selectBenchmarks(filter: string, full = false): Benchmark[] {
  const all = [
    ...modelBenchmarks(),
    ...generationBenchmarks(),
    ...methodBenchmarks(),
    ...calibratedBenchmarks(),
    ...kernelBenchmarks(),
  ];
  const words = filter.toLowerCase().split(" ").filter(Boolean);
  const named = all.filter(({ suite, name, shape }) =>
    words.every((word) => `${suite} ${name} ${shape}`.toLowerCase().includes(word))
  );
  const usual = named.filter(({ large }) => !large);
  if (named.length > 0) return full || usual.length === 0 ? named : usual;
  const names = [...new Set(all.map(({ name }) => name))];
  throw new ConfigurationError([{
    position: null,
    message: `No benchmark has "${filter}" in its name${didYouMean(filter, names)}; there are ${
      names.join(", ")
    }`,
  }]);
}

/** Measures the ceilings and everything that the filter selects. */
export async function runBenchmarks(
  device: Device,
  options: BenchmarkOptions = {},
): Promise<BenchmarkReport> {
  const { filter = "", full = false, effort = DEFAULT_EFFORT, threads, onPlan, onStart } = options;
  const selected = selectBenchmarks(filter, full);
  const started = new Date().toISOString();
  const loadBefore = Deno.loadavg()[0] ?? NaN;
  const clock = await chooseClock(device, copyCeiling);
  const before = await measureCeilings(device, clock, threads);
  onPlan?.(selected.length, expectedSeconds(selected, before, effort));
  const times: { benchmark: Benchmark; measurement: Measurement }[] = [];
  const skipped: SkippedBenchmark[] = [];
  for (const [done, benchmark] of selected.entries()) {
    const { name, shape } = benchmark;
    onStart?.(`${name} ${shape}`, done, selected.length);
    try {
      times.push({ benchmark, measurement: await measure(device, benchmark, clock, effort) });
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof DeviceError)) throw error;
      skipped.push({ name, shape, reason: error.message });
    }
  }
  // A noisy machine only ever makes a ceiling look lower than it is.
  const after = await measureCeilings(device, clock, threads);
  const ceilings = {
    gigaflops: before.gigaflops === null ? null : Math.max(before.gigaflops, after.gigaflops ?? 0),
    gigabytes: Math.max(before.gigabytes, after.gigabytes),
  };
  const { name, class: deviceClass, description } = device.info;
  return {
    format: "equipoise/benchmarks",
    version: BENCHMARKS_VERSION,
    started,
    finished: new Date().toISOString(),
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.build.arch} ${Deno.osRelease()}`,
    processors: navigator.hardwareConcurrency,
    loadAverage: [loadBefore, Deno.loadavg()[0] ?? NaN],
    device: { name, class: deviceClass, description },
    clock,
    ceilings,
    results: times.map(({ benchmark, measurement }) =>
      resultOf(benchmark, measurement, ceilings, queuesAhead(device))
    ),
    skipped,
  };
}

async function measureCeilings(
  device: Device,
  clock: Clock,
  threads: number | undefined,
): Promise<Ceilings> {
  const best = async (benchmark: Benchmark) => {
    const { work } = benchmark;
    const { seconds } = await measure(device, benchmark, clock, CEILING_EFFORT);
    return ((work.flops ?? 0) + (work.bytes ?? 0)) / Math.min(...seconds) / 1e9;
  };
  const fma = fmaCeiling(device, threads);
  return {
    gigaflops: fma === null ? null : await best(fma),
    gigabytes: await best(copyCeiling),
  };
}

/** Share of the ceilings that a guess of running times assumes. */
const EXPECTED_SHARE = 0.3;

/** GFLOP/s of a device whose ceiling is unknown. */
const EXPECTED_GIGAFLOPS = 0.1;

/** A guess, from the work and the ceilings. */
function expectedSeconds(
  benchmarks: readonly Benchmark[],
  { gigaflops, gigabytes }: Ceilings,
  { samples, sampleSeconds }: Effort,
): number {
  return benchmarks.reduce((sum, { work }) => {
    const arithmetic = (work.flops ?? 0) / (gigaflops ?? EXPECTED_GIGAFLOPS) / 1e9;
    const memory = (work.bytes ?? 0) / gigabytes / 1e9;
    const call = Math.max(arithmetic, memory) / EXPECTED_SHARE;
    return sum + 2 * call + samples * Math.max(call, sampleSeconds);
  }, 0);
}

/** Rates of some times; `queues` says whether the device works while the host goes on. */
export function resultOf(
  { suite, name, shape, work, step }: Omit<Benchmark, "prepare" | "large">,
  { calls, seconds, hostSeconds }: Measurement,
  ceilings: Ceilings,
  queues = true,
): BenchmarkResult {
  const sorted = seconds.toSorted((left, right) => left - right);
  const median = quantile(sorted, 0.5);
  const rate = (amount: number | undefined, unit: number) =>
    amount === undefined ? null : amount / median / unit;
  const share = (speed: number | null, ceiling: number | null) =>
    speed === null || ceiling === null ? null : speed / ceiling;
  const gigaflops = rate(work.flops, 1e9);
  const gigabytes = rate(work.bytes, 1e9);
  const hostTime = quantile(hostSeconds.toSorted((left, right) => left - right), 0.5);
  return {
    suite,
    name,
    shape,
    calls,
    samples: seconds.map((value) => 1000 * value),
    median: 1000 * median,
    minimum: 1000 * Math.min(...seconds),
    noise: (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2 / median,
    gigaflops,
    arithmeticShare: share(gigaflops, ceilings.gigaflops),
    gigabytes,
    memoryShare: share(gigabytes, ceilings.gigabytes),
    tokens: rate(work.tokens, 1),
    hostShare: step && queues ? hostTime / (median - hostTime) : null,
  };
}

/** Linear between the two nearest values. */
function quantile(sorted: readonly number[], share: number): number {
  const position = share * (sorted.length - 1);
  const low = sorted[Math.floor(position)] ?? NaN;
  const high = sorted[Math.ceil(position)] ?? NaN;
  return low + (high - low) * (position - Math.floor(position));
}
