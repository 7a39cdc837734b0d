/**
 * Examples of training data as text: what is learned of them stands out.
 *
 * @module
 */

import { styleText } from "node:util";
import { formatCount } from "./quantities.ts";

/** A run of tokens that are all learned, or all only read. */
export interface ExamplePiece {
  readonly text: string;
  readonly learned: boolean;
}

/** One example. */
export interface ShownExample {
  /** Where its row stands ("/data/train.jsonl:17"), or which window of a text it is. */
  readonly place: string;
  /** How many tokens it has. */
  readonly tokens: number;
  /** How many of them are learned. */
  readonly learned: number;
  /** Its text, from the beginning. */
  readonly pieces: readonly ExamplePiece[];
}

/** The first examples of the data of some stages. */
export interface ExampleSet {
  /** Stages that train on them ("tuned (rank 4)"). */
  readonly stages: readonly string[];
  /** The key of the data among their parameters: "data" or "evaluation". */
  readonly key: string;
  readonly examples: readonly ShownExample[];
  /** What was counted while they were read. */
  readonly remarks: readonly string[];
  /** Why there is nothing to show; null if there is. */
  readonly problem: string | null;
}

/**
 * Examples for people. Learned tokens are green, or, without colors, stand between ⟦ and ⟧.
 *
 * @example
 * ```ts
 * import { examplesText } from "./examples_text.ts";
 *
 * const pieces = [{ text: "1 + 1 =", learned: false }, { text: " 2", learned: true }];
 * const examples = [{ place: "a.jsonl:1", tokens: 5, learned: 1, pieces }];
 * const set = { stages: ["tuned"], key: "data", examples, remarks: [], problem: null };
 * const text = examplesText([set], { color: false });
 * if (!text.includes("1 + 1 =⟦ 2⟧")) throw new Error("the answer is learned");
 * ```
 */
export function examplesText(
  sets: readonly ExampleSet[],
  { color }: { readonly color: boolean },
): string {
  const mark = color ? "green" : "between ⟦ and ⟧";
  return [
    `First examples of the training data; what is learned is ${mark}:`,
    ...sets.flatMap((set) => ["", ...setLines(set, color)]),
  ].join("\n") + "\n";
}

function setLines({ stages, key, examples, remarks, problem }: ExampleSet, color: boolean) {
  const title = `${stages.join(", ")}: ${key}`;
  return [
    color ? styleText("bold", title, { validateStream: false }) : title,
    ...(problem === null ? [] : [`  ${problem}`]),
    ...examples.flatMap((example, index) => [
      "",
      `  ${index + 1}. ${example.place} (${formatCount(example.tokens, "token")}, ` +
      `${example.learned} learned)`,
      ...exampleText(example, color).split("\n").map((line) => `     ${line}`),
    ]),
    ...(remarks.length === 0 ? [] : ["", ...remarks.map((remark) => `  ${remark}`)]),
  ];
}

/** Colors end with every line, so that pagers keep them. */
function exampleText({ pieces }: ShownExample, color: boolean): string {
  return pieces.map(({ text, learned }) => {
    const shown = visible(text);
    if (!learned) return shown;
    if (!color) return `⟦${shown}⟧`;
    return shown.split("\n")
      .map((line) => line === "" ? "" : styleText("green", line, { validateStream: false }))
      .join("\n");
  }).join("");
}

/** Data must not command the terminal. */
function visible(text: string): string {
  return text.replaceAll(
    /(?![\n\t])\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
