/**
 * Time that passes when a test says so.
 *
 * @module
 */

import type { Clock } from "../clock.ts";

/** A clock whose pauses take no time. */
export class FakeClock implements Clock {
  /** The pauses that were asked for, in milliseconds. */
  readonly pauses: number[] = [];
  readonly #timers = new Set<() => void>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  async wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.pauses.push(milliseconds);
    this.#now += milliseconds;
    // Others get their turn, as in a pause.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  timer(_milliseconds: number, callback: () => void): () => void {
    this.#timers.add(callback);
    return () => this.#timers.delete(callback);
  }

  /** Lets the time of all timers pass. */
  expire(): void {
    for (const callback of [...this.#timers]) {
      this.#timers.delete(callback);
      callback();
    }
  }
}
