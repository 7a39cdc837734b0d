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

/** Calls that take this many seconds are sampled three times, the second warm-up counted in. */
const SLOW_SECONDS = 2;

/** Calls that take this many seconds are sampled once, after one warm-up. */
const VERY_SLOW_SECONDS = 30;

/** Times of one benchmark. */
export interface Measurement {
  /** Calls in each sample. */
  readonly calls: number;
  /** Seconds of one call, by sample, in the order measured. */
  readonly seconds: readonly number[];
  /** Seconds that the host spent on queueing one call, by sample: nothing else can be queued then. */
  readonly hostSeconds: readonly number[];
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
    const time = async (calls: number) => {
      const times = await elapsed(device, job, calls, now);
      return { seconds: times[clock] / 1000 / calls, host: times.queue / 1000 / calls };
    };
    await time(1);
    const first = await time(1);
    const calls = Math.min(MOST_CALLS, Math.max(1, Math.ceil(sampleSeconds / first.seconds)));
    const times = first.seconds > SLOW_SECONDS ? [first] : [];
    if (times.length === 0) await time(calls);
    const wanted = first.seconds > VERY_SLOW_SECONDS ? 1 : times.length > 0 ? 3 : samples;
    while (times.length < wanted) times.push(await time(calls));
    return {
      calls,
      seconds: times.map(({ seconds }) => seconds),
      hostSeconds: times.map(({ host }) => host),
    };
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

/** Milliseconds by either clock, and until everything was queued, of `rounds` times `calls` calls. */
export async function elapsed(
  device: Device,
  job: Job,
  calls: number,
  now: Now = systemNow,
  rounds = 1,
): Promise<Readonly<Record<Clock | "queue", number>>> {
  const start = now();
  for (let round = 0; round < rounds; round++) job.queue(calls);
  const queue = now() - start;
  const settled = job.settle?.() ?? device.settle();
  const call = now() - start;
  await settled;
  return { queue, call, promise: now() - start };
}
