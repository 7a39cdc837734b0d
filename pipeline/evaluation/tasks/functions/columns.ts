/**
 * Rows as the authors of benchmarks published them, with the columns of the data sets on the Hugging
 * Face Hub, which task files expect.
 *
 * @module
 */

import { FieldError, type Fields, integerOf, textOf } from "../fields.ts";
import type { TaskFunctions } from "./task_functions.ts";

const LETTERS = ["A", "B", "C", "D"];

/** MMLU: choices in four columns, the answer as a letter or a number in text. */
export const mmlu: TaskFunctions = {
  task: "mmlu",
  rows: {
    columns: (row) => ({
      ...row,
      question: textOf(row, "question"),
      choices: row.choices ??
        LETTERS.map((letter, index) =>
          textOf(row, `choice${index}` in row ? `choice${index}` : letter)
        ),
      answer: mmluAnswer(row),
    }),
  },
};

function mmluAnswer(row: Fields): number {
  const letter = LETTERS.indexOf(String(row.answer).trim());
  const answer = letter >= 0 ? letter : integerOf(row, "answer");
  if (answer >= 0 && answer < LETTERS.length) return answer;
  throw new FieldError(`the column "answer" must be 0 to 3 or A to D: found ${answer}`);
}

/** ARC: the question with its choices in one map. */
export const arc: TaskFunctions = { task: "arc", rows: { columns: nestedQuestion("question") } };

/** OpenBookQA: the same, under another name. */
export const openbookqa: TaskFunctions = {
  task: "openbookqa",
  rows: { columns: nestedQuestion("question_stem") },
};

function nestedQuestion(column: string): (row: Fields) => Fields {
  return (row) => {
    const { question } = row;
    if (typeof question !== "object" || question === null) return row;
    const { stem, choices } = question as { stem?: unknown; choices?: unknown };
    if (!Array.isArray(choices)) throw new FieldError('the column "question" has no "choices"');
    return {
      ...row,
      [column]: stem,
      choices: {
        text: choices.map((choice: Fields) => textOf(choice, "text")),
        label: choices.map((choice: Fields) => textOf(choice, "label")),
      },
    };
  };
}

/** BoolQ: the answer as true or false. */
export const boolq: TaskFunctions = {
  task: "boolq",
  rows: {
    columns: (row) =>
      typeof row.answer === "boolean" && row.label === undefined
        ? { ...row, label: Number(row.answer) }
        : row,
  },
};
