/**
 * How fast items are answered just now: those that a journal had, and slow ones long ago, say nothing of
 * those to come.
 *
 * @module
 */

/** Milliseconds that the rate is taken over. */
const WINDOW = 10_000;

/** Milliseconds between two counts that are remembered, and before there is a rate. */
const INTERVAL = 500;

/** Counts items. */
export class ItemRate {
  readonly #counts: { readonly time: number; readonly done: number }[] = [];

  /**
   * Items per second over the last ten seconds; null before anything can be said.
   *
   * @param done Items that are answered.
   * @param time Milliseconds on a clock that only goes forward.
   */
  next(done: number, time: number): number | null {
    const last = this.#counts.at(-1);
    if (last === undefined || time - last.time >= INTERVAL) this.#counts.push({ time, done });
    while (this.#counts.length > 1 && time - (this.#counts[0]?.time ?? time) > WINDOW) {
      this.#counts.shift();
    }
    const [first] = this.#counts;
    if (first === undefined || time - first.time < INTERVAL) return null;
    return 1000 * (done - first.done) / (time - first.time);
  }
}
