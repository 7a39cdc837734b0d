/**
 * Rows that are not trained on as they are: refused, or counted, with their places, for the log.
 *
 * @module
 */

import { UserError } from "../../errors.ts";

/** What to do with a row that cannot be read or has nothing to learn. */
export type OnBadRow = "error" | "skip";

/** What to do with a row that is longer than `length`. */
export type OnLongRow = "cut" | "skip" | "error";

const PLACES = 3;

/** The faults of one dataset. */
export class RowFaults {
  readonly #onBadRow: OnBadRow;
  readonly #onLongRow: OnLongRow;
  readonly #length: number;
  /** Places of rows by what is the matter with them. */
  readonly #bad = new Map<string, string[]>();
  readonly #long: string[] = [];

  /** Nothing has happened yet. */
  constructor(options: { onBadRow: OnBadRow; onLongRow: OnLongRow; length: number }) {
    this.#onBadRow = options.onBadRow;
    this.#onLongRow = options.onLongRow;
    this.#length = options.length;
  }

  /** How many rows are left out so far. */
  get skipped(): number {
    const bad = [...this.#bad.values()].reduce((sum, places) => sum + places.length, 0);
    return bad + (this.cutsLongRows ? 0 : this.#long.length);
  }

  /**
   * A row that cannot be read or has nothing to learn.
   *
   * @throws {UserError} If such rows are errors.
   */
  bad(place: string, reason: string): void {
    if (this.#onBadRow === "error") {
      throw new UserError(`${place}: ${reason}; correct it, or set on_bad_row: skip`);
    }
    this.#bad.set(reason, [...this.#bad.get(reason) ?? [], place]);
  }

  /** Whether rows that are too long are used up to `length`. */
  get cutsLongRows(): boolean {
    return this.#onLongRow === "cut";
  }

  /**
   * A row that is too long.
   *
   * @throws {UserError} If such rows are errors.
   */
  long(place: string, tokens: number): void {
    if (this.#onLongRow === "error") {
      throw new UserError(
        `${place}: the row has ${tokens} tokens, more than there is room for; raise length, or set ` +
          `on_long_row: cut or skip`,
      );
    }
    this.#long.push(place);
  }

  /** One sentence for each kind of fault. */
  remarks(rows: number): string[] {
    const bad = [...this.#bad.values()].reduce((sum, places) => sum + places.length, 0);
    const reasons = [...this.#bad].map(([reason, places]) => `${reason} (${listed(places)})`);
    return [
      ...bad === 0 ? [] : [`${bad} of ${rows} rows were skipped: ${reasons.join("; ")}`],
      ...this.#long.length === 0 ? [] : [
        `${this.#long.length} of ${rows} rows were ${
          this.cutsLongRows
            ? `cut to ${this.#length} tokens`
            : `longer than ${this.#length} tokens and skipped`
        } (${listed(this.#long)})`,
      ],
    ];
  }
}

function listed(places: readonly string[]): string {
  const more = places.length - PLACES;
  return places.slice(0, PLACES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
