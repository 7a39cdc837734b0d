/**
 * Timing of queued work.
 *
 * In Deno 2.9 the promise of `queue.onSubmittedWorkDone()` resolves 11 ms late, whatever the work,
 * but the *call* returns only when the device is done. So the clock stops when the call returns, and
 * the promise is awaited outside the timed region. Where the call does not wait, the clock stops at
 * the promise instead; {@linkcode chooseClock} finds out which it is.
 *
 * @module
 */

import type { Device } from "../device.ts";
import type { Benchmark, Job } from "./benchmark.ts";

/** What the end of some work is taken from. */
export type Clock = "call" | "promise";

/** How long and how often to measure. */
export interface Effort {
  /** Times that count. */
  readonly samples: number;
  /** Shortest time of a sample in seconds: short calls are repeated that long. */
  readonly sampleSeconds: number;
}

/** Long enough for noise of milliseconds, short enough for fifty benchmarks in a minute. */
export const DEFAULT_EFFORT: Effort = { samples: 5, sampleSeconds: 0.03 };

/** Many and short, of which the best counts: other work on the machine must miss only one of them. */
export const CEILING_EFFORT: Effort = { samples: 40, sampleSeconds: 0.01 };

/** Calls of a sample at most: recordings of more take longer to make than to run. */
const MOST_CALLS = 256;

/** Times of one benchmark. */
export interface Measurement {
  /** Calls in each sample. */
  readonly calls: number;
  /** Seconds of one call, by sample, in the order measured. */
  readonly seconds: readonly number[];
}

/** Milliseconds since some moment. */
export type Now = () => number;

const systemNow: Now = () => performance.now();

/** Times a benchmark after warming up: compiling, first touch of memory, and a guess of its speed. */
export async function measure(
  device: Device,
  benchmark: Benchmark,
  clock: Clock,
  { samples, sampleSeconds }: Effort = DEFAULT_EFFORT,
  now: Now = systemNow,
): Promise<Measurement> {
  const job = await benchmark.prepare(device);
  try {
    const time = async (calls: number) => (await elapsed(device, job, calls, now))[clock] / 1000;
    await time(1);
    const calls = Math.min(MOST_CALLS, Math.max(1, Math.ceil(sampleSeconds / await time(1))));
    await time(calls);
    const seconds: number[] = [];
    for (let sample = 0; sample < samples; sample++) seconds.push(await time(calls) / calls);
    return { calls, seconds };
  } finally {
    job.release();
  }
}

/** Long against the 11 ms of a late promise. */
const CLEAR_MILLISECONDS = 60;

/** Which clock this runtime needs: "call" if the wait for a benchmark happens inside the call. */
export async function chooseClock(
  device: Device,
  benchmark: Benchmark,
  now: Now = systemNow,
): Promise<Clock> {
  const job = await benchmark.prepare(device);
  try {
    await elapsed(device, job, 1, now);
    for (let rounds = 1;; rounds *= 2) {
      const { call, promise } = await elapsed(device, job, 1, now, rounds);
      if (promise > CLEAR_MILLISECONDS) return call > promise / 2 ? "call" : "promise";
    }
  } finally {
    job.release();
  }
}

/** Milliseconds by either clock, of `rounds` times `calls` calls. */
async function elapsed(
  device: Device,
  job: Job,
  calls: number,
  now: Now,
  rounds = 1,
): Promise<Readonly<Record<Clock, number>>> {
  const start = now();
  for (let round = 0; round < rounds; round++) job.queue(calls);
  const settled = device.settle();
  const call = now() - start;
  await settled;
  return { call, promise: now() - start };
}
