/**
 * Answers that are compared as numbers, after papers on quantized adapters: LoftQ (`test_gsm8k.py`,
 * which ApiQ uses as well), and LLM-Adapters (`evaluate.py`, as pyreft and ApiQ have it).
 *
 * @module
 */

import { compile } from "../../python/regular_expression.ts";
import type { SampleResponse } from "../sample.ts";
import { type Fields, textOf } from "../fields.ts";
import type { TaskFunctions } from "./task_functions.ts";

const NUMBER = compile("-?\\d+\\.?\\d*");
const LETTER = /[A-E]/;

/** What LoftQ trains a model to write before its answer. */
const LOFTQ_MARKER = "The final answer is: ";

/** LLM-Adapters takes answers for equal that differ by no more. */
const TOLERANCE = 0.001;

/** Numbers in a text, without the commas between thousands; the last of two points ends one. */
function numbersIn(text: string): number[] {
  return (text.replaceAll(",", "").match(NUMBER) ?? []).map(Number);
}

/**
 * LoftQ's answer: the first number after the marker, else the last one; infinite if there is none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(loftqAnswer("The final answer is:  $1,080 and 3"), 1080);
 * assert.equal(loftqAnswer("10-5=5"), 5);
 * ```
 */
export function loftqAnswer(text: string): number {
  const all = numbersIn(text);
  const [, marked] = text.replaceAll(",", "").split(LOFTQ_MARKER);
  const [first] = marked === undefined ? [] : numbersIn(marked);
  return first ?? all.at(-1) ?? Infinity;
}

/** The last number; infinite if there is none. */
export function lastNumber(text: string): number {
  return numbersIn(text).at(-1) ?? Infinity;
}

/** The first of A to E anywhere, also within words; empty if there is none. */
export function firstLetter(text: string): string {
  return LETTER.exec(text)?.[0] ?? "";
}

function generated(responses: readonly SampleResponse[]): string {
  return String(responses[0] ?? "");
}

/** GSM8K by LoftQ's protocol. */
export const gsm8kLoftq: TaskFunctions = {
  task: "gsm8k_loftq",
  results: {
    exact_number: (document: Fields, responses) => {
      const gold = textOf(document, "answer").split("####").at(-1)?.replaceAll(",", "") ?? "";
      return { exact_match: Number(loftqAnswer(generated(responses)) === toFloat(gold)) };
    },
  },
};

/** The arithmetic sets of LLM-Adapters, whose answers are numbers, or letters (AQuA). */
export const arithmetic: TaskFunctions = {
  task: "arithmetic",
  results: {
    compare: (document: Fields, responses) => {
      const answer = String(document.answer).trim();
      const gold = toFloat(answer);
      const text = generated(responses);
      const isRight = Number.isFinite(gold)
        ? Math.abs(gold - lastNumber(text)) <= TOLERANCE
        : firstLetter(text) === answer;
      return { exact_match: Number(isRight) };
    },
  },
};

/** Python's `float(text)`; infinite where that fails. */
function toFloat(text: string): number {
  return /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : Infinity;
}
