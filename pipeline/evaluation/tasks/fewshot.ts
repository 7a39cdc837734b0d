/**
 * Which examples stand before a question (`lm_eval/api/samplers.py`).
 *
 * @module
 */

import { PythonRandom } from "../random/python_random.ts";
import { FieldError, type Fields } from "./fields.ts";
import { pythonEqual } from "./template.ts";

/** Seed of the harness. */
export const FEWSHOT_SEED = 1234;

/** How examples are drawn. */
export interface FewshotOptions {
  /** `first_n`: always the first; `default`: drawn for every question, in the order of questions. */
  readonly sampler: "default" | "first_n";
  readonly seed: number;
  /**
   * Whether the question itself may be among the examples. Then one more is drawn, and the question
   * left out. The harness also thinks so of tasks that name neither a split for examples nor one for
   * tests (HellaSwag, PIQA, WinoGrande, BoolQ), which changes the draws.
   */
  readonly mayHoldQuestion: boolean;
}

/** Draws the examples of one task; the order of calls is the order of its questions. */
export class FewshotSampler {
  readonly #pool: readonly Fields[];
  readonly #options: FewshotOptions;
  readonly #random: PythonRandom;

  constructor(pool: readonly Fields[], options: FewshotOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#random = new PythonRandom(options.seed);
  }

  /** @throws {FieldError} If there are not enough examples. */
  sample(count: number, question: Fields): Fields[] {
    if (count === 0) return [];
    const { sampler, mayHoldQuestion } = this.#options;
    const drawn = sampler === "default" && mayHoldQuestion ? count + 1 : count;
    if (drawn > this.#pool.length) {
      throw new FieldError(
        `num_fewshot is ${count}, but there are ${this.#pool.length} examples to take them from`,
      );
    }
    const candidates = sampler === "first_n" ? this.#pool : this.#random.sample(this.#pool, drawn);
    const chosen: Fields[] = [];
    for (const candidate of candidates) {
      if (chosen.length === count) break;
      if (!(mayHoldQuestion && pythonEqual(candidate, question))) chosen.push(candidate);
    }
    if (chosen.length === count) return chosen;
    throw new FieldError(
      `num_fewshot is ${count}, but only ${chosen.length} of the examples differ from the question`,
    );
  }
}
