/**
 * Timing two programs side by side, so that whatever else the machine does meets both.
 *
 * @module
 */

/** What is timed: seconds of a number of calls. */
export type Timer = (calls: number) => Promise<number>;

/** How often and how long to measure. */
export interface ComparisonEffort {
  /** Rounds of A, B, B, A; each gives two samples of either. */
  readonly rounds: number;
  /** Shortest time of a sample in seconds. */
  readonly sampleSeconds: number;
}

/** Enough for quartiles of eight samples. */
export const COMPARISON_EFFORT: ComparisonEffort = { rounds: 4, sampleSeconds: 0.5 };

/** Calls of a sample at most. */
const MOST_CALLS = 1000;

/** Calls that take this many seconds are measured in {@linkcode SLOW_ROUNDS} at most. */
const SLOW_SECONDS = 5;

/** Four samples of either. */
const SLOW_ROUNDS = 2;

/** Times of two programs, in the order measured. */
export interface Comparison {
  /** Seconds of one call of the first. */
  readonly first: readonly number[];
  /** Seconds of one call of the second. */
  readonly second: readonly number[];
  /** Speed of the first over that of the second, a number for each round. */
  readonly ratios: readonly number[];
}

/**
 * Times two programs in turn, A-B-B-A: a machine that gets slower or faster at a steady pace does so
 * for both alike. Two calls of either come first and do not count.
 */
export async function compare(
  first: Timer,
  second: Timer,
  { rounds, sampleSeconds }: ComparisonEffort = COMPARISON_EFFORT,
): Promise<Comparison> {
  const sampler = async (timer: Timer) => {
    await timer(1);
    const seconds = await timer(1);
    const calls = Math.min(MOST_CALLS, Math.max(1, Math.ceil(sampleSeconds / seconds)));
    return { seconds, sample: async () => await timer(calls) / calls };
  };
  const [one, other] = [await sampler(first), await sampler(second)];
  const isSlow = Math.max(one.seconds, other.seconds) > SLOW_SECONDS;
  const times: { first: number[]; second: number[] } = { first: [], second: [] };
  const ratios: number[] = [];
  for (let round = 0; round < (isSlow ? Math.min(rounds, SLOW_ROUNDS) : rounds); round++) {
    const [a, b] = [await one.sample(), await other.sample()];
    const [c, d] = [await other.sample(), await one.sample()];
    times.first.push(a, d);
    times.second.push(b, c);
    ratios.push((b + c) / (a + d));
  }
  return { ...times, ratios };
}

/** Median and quartiles. */
export interface Quartiles {
  /** A quarter of the numbers is below. */
  readonly low: number;
  /** Half of them is below. */
  readonly median: number;
  /** A quarter of them is above. */
  readonly high: number;
}

/** Quartiles of some numbers, linear between the two nearest. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = values.toSorted((left, right) => left - right);
  const quantile = (share: number) => {
    const position = share * (sorted.length - 1);
    const low = sorted[Math.floor(position)] ?? NaN;
    const high = sorted[Math.ceil(position)] ?? NaN;
    return low + (high - low) * (position - Math.floor(position));
  };
  return { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) };
}
