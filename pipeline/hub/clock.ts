/**
 * Time as downloads need it: pauses between attempts, and limits on silence. Tests bring their own.
 *
 * @module
 */

/** A clock. */
export interface Clock {
  /** Milliseconds on a clock that only goes forward. */
  now(): number;
  /** Resolves after a pause; rejects with the reason of `signal` if that comes first. */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /** Calls back after a time unless cancelled; returns what cancels it. */
  timer(milliseconds: number, callback: () => void): () => void;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wait: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, milliseconds);
      signal?.addEventListener("abort", abort, { once: true });
    }),
  timer: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Aborts what is silent for too long. */
export class Watchdog implements Disposable {
  /** Whether it was the silence that aborted. */
  expired = false;
  readonly #clock: Clock;
  readonly #milliseconds: number;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #abort = () => this.#controller.abort(this.#outer?.reason);
  #cancel: () => void = () => {};

  /** Counts from now; `outer` aborts too. */
  constructor(clock: Clock, milliseconds: number, outer?: AbortSignal) {
    this.#clock = clock;
    this.#milliseconds = milliseconds;
    this.#outer = outer;
    if (outer?.aborted) this.#abort();
    outer?.addEventListener("abort", this.#abort);
    this.feed();
  }

  /** Aborted by silence or from outside. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Counts from now again. */
  feed(): void {
    this.#cancel();
    this.#cancel = this.#clock.timer(this.#milliseconds, () => {
      this.expired = true;
      this.#controller.abort();
    });
  }

  /** Stops counting. */
  [Symbol.dispose](): void {
    this.#cancel();
    this.#outer?.removeEventListener("abort", this.#abort);
  }
}
