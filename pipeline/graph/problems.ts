/**
 * Collects the mistakes of an experiment, so that all of them are reported at once.
 *
 * @module
 */

import { ConfigurationError, type Problem } from "./experiment.ts";
import type { Origin } from "./origin.ts";

/** A growing list of mistakes; equal mistakes (the same in many cells of a grid) are kept once. */
export class ProblemList {
  readonly #problems = new Map<string, Problem>();

  /** Adds a mistake that stands at `origin`; null where it stands nowhere in particular. */
  add(origin: Origin | null, message: string): void {
    const position = origin?.position ?? null;
    const text = origin?.option === undefined ? message : `${origin.option}: ${message}`;
    const key = position === null
      ? text
      : `${position.file}:${position.line}:${position.column}:${text}`;
    if (!this.#problems.has(key)) this.#problems.set(key, { position, message: text });
  }

  /** Number of different mistakes so far. */
  get size(): number {
    return this.#problems.size;
  }

  /**
   * Throws all mistakes, those of a file in the order of its lines, after those without a position.
   *
   * @throws {ConfigurationError} If there is any.
   */
  throwIfAny(): void {
    if (this.#problems.size === 0) return;
    throw new ConfigurationError([...this.#problems.values()].sort(compare));
  }
}

function compare(a: Problem, b: Problem): number {
  if (a.position === null || b.position === null) {
    return Number(a.position !== null) - Number(b.position !== null);
  }
  if (a.position.file !== b.position.file) return a.position.file < b.position.file ? -1 : 1;
  return a.position.line - b.position.line || a.position.column - b.position.column;
}
