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

/** How many places of each reason, and how many reasons, a remark names. */
const [PLACES, REASONS] = [3, 5];

/** The faults of one dataset. */
export class RowFaults {
  readonly #onBadRow: OnBadRow;
  readonly #onLongRow: OnLongRow;
  readonly #room: string;
  /** Places of rows by what is the matter with them. */
  readonly #bad = new Map<string, string[]>();
  readonly #long: string[] = [];

  /**
   * Nothing has happened yet.
   *
   * @param options.room How much a row may hold ("256 tokens"), for messages.
   */
  constructor(options: { onBadRow: OnBadRow; onLongRow: OnLongRow; room: string }) {
    this.#onBadRow = options.onBadRow;
    this.#onLongRow = options.onLongRow;
    this.#room = options.room;
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
    const places = this.#bad.get(reason);
    if (places === undefined) this.#bad.set(reason, [place]);
    else places.push(place);
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
        `${place}: the row has ${tokens} tokens, but there is room for only ${this.#room}; raise ` +
          `length, or set on_long_row: cut or skip`,
      );
    }
    this.#long.push(place);
  }

  /** One sentence for each kind of fault. */
  remarks(rows: number): string[] {
    const bad = [...this.#bad.values()].reduce((sum, places) => sum + places.length, 0);
    const reasons = [...this.#bad].map(([reason, places]) => `${reason} (${listed(places)})`);
    const others = reasons.length - REASONS;
    if (others > 0) reasons.splice(REASONS, others, `${others} other reasons`);
    return [
      ...bad === 0 ? [] : [`${bad} of ${rows} rows were skipped: ${reasons.join("; ")}`],
      ...this.#long.length === 0 ? [] : [
        `${this.#long.length} of ${rows} rows were ${
          this.cutsLongRows ? `cut to ${this.#room}` : `longer than ${this.#room} and skipped`
        } (${listed(this.#long)})`,
      ],
    ];
  }
}

function listed(places: readonly string[]): string {
  const more = places.length - PLACES;
  return places.slice(0, PLACES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
