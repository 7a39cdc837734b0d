/**
 * Items that cannot be asked: an error at once, or left out and counted.
 *
 * @module
 */

import { UserError } from "../../errors.ts";

/** What becomes of an item that cannot be asked. */
export type BadItemPolicy = "error" | "skip";

/** Collects the bad items of a task. */
export class BadItems {
  readonly #policy: BadItemPolicy;
  readonly #report: (line: string) => void;
  #count = 0;

  /** @param report Is told of every item that is left out. */
  constructor(policy: BadItemPolicy, report: (line: string) => void) {
    this.#policy = policy;
    this.#report = report;
  }

  /** Items left out so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * @param place "FILE:LINE" of the row.
   * @throws {UserError} If bad items are errors.
   */
  add(place: string, message: string): void {
    if (this.#policy === "error") {
      throw new UserError(
        `${place}: ${message}; mend the row, or leave out such rows with on_bad_item: skip`,
      );
    }
    this.#count++;
    this.#report(`left out ${place}: ${message}`);
  }
}
