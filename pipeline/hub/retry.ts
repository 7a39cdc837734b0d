/**
 * Trying again: which failures pass, and how long to wait for that.
 *
 * @module
 */

import type { Clock } from "./clock.ts";

/** Milliseconds before the second attempt; doubled before each further one. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;

/** The Hub counts requests in windows of five minutes (huggingface.co/docs/hub/rate-limits). */
const LONGEST_REQUESTED_PAUSE = 300_000;

/** Attempts in all. */
export const ATTEMPTS = 6;

/** A failure that may pass. Its message is a clause without addresses and tokens. */
export class TransferFault extends Error {
  /** Whether something was received that is kept, so that the next attempt has less to do. */
  readonly progressed: boolean;
  /** Milliseconds that the server asked to wait. */
  readonly pause: number | null;

  /** See the fields. */
  constructor(
    message: string,
    options: { progressed?: boolean; pause?: number | null } = {},
  ) {
    super(message);
    this.progressed = options.progressed ?? false;
    this.pause = options.pause ?? null;
  }
}

/** What repeats. */
export interface RetryOptions {
  /** Measures the pauses. */
  readonly clock: Clock;
  /** Draws from [0, 1), for the jitter of pauses; results do not depend on it. */
  readonly random: () => number;
  /** Ends a pause. */
  readonly signal?: AbortSignal;
  /**
   * Attempts without progress in between.
   *
   * @default ATTEMPTS
   */
  readonly attempts?: number;
  /** Told before each pause why there is one, and how long it is. */
  readonly notice?: (text: string) => void;
}

/**
 * Makes attempts until one succeeds, with pauses that double and vary by half (so that many clients
 * do not come back at once), or as long as the server asks.
 *
 * @throws {TransferFault} The last one, with a count, after too many attempts.
 */
export async function retrying<Value>(
  attempt: () => Promise<Value>,
  options: RetryOptions,
): Promise<Value> {
  const { clock, random, signal, notice } = options;
  let failures = 0;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransferFault)) throw error;
      failures = error.progressed ? 1 : failures + 1;
      if (failures >= (options.attempts ?? ATTEMPTS)) {
        throw new TransferFault(
          failures === 1 ? error.message : `${error.message}, ${times(failures)}`,
        );
      }
      if (error.pause !== null && error.pause > LONGEST_REQUESTED_PAUSE) {
        const seconds = Math.ceil(error.pause / 1000);
        throw new TransferFault(`${error.message} and asks to wait ${seconds} s`);
      }
      const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
      const pause = error.pause ?? longest * (0.5 + random() / 2);
      notice?.(`${error.message}; trying again in ${(pause / 1000).toFixed(1)} s`);
      await clock.wait(pause, signal);
    }
  }
}

/**
 * Milliseconds that a response asks to wait: `Retry-After` in seconds or as a date, or the seconds to
 * the end of the window in the Hub's `RateLimit` (`"resolvers";r=0;t=55`). Null if it does not say.
 *
 * @param today Milliseconds since 1970, to which a date is compared.
 */
export function requestedPause(headers: Headers, today: number): number | null {
  const after = headers.get("retry-after");
  if (after !== null) {
    const seconds = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - today;
    if (Number.isFinite(seconds)) return Math.max(0, seconds);
  }
  const window = /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "");
  return window === null ? null : Number(window[1]) * 1000;
}

function times(count: number): string {
  return count === 2 ? "twice" : `${count} times`;
}
