/**
 * Patterns of `tokenizer.json` as regular expressions of JavaScript.
 *
 * @module
 */

import { SplitPreTokenizer } from "@huggingface/tokenizers";

/** A part of a `tokenizer.json` that names its type. */
export interface Component {
  readonly type: string;
  readonly [field: string]: unknown;
}

/**
 * The regular expression of a pattern, `{ Regex }` in Oniguruma's syntax or `{ String }`, for all
 * matches of a text; the library translates.
 *
 * @throws {SyntaxError} If it cannot be translated.
 */
export function patternOf(component: Component): RegExp {
  const pattern = component.pattern as { readonly Regex?: string } | { readonly String?: string };
  const isText = typeof pattern === "object" && pattern !== null &&
    ("Regex" in pattern ? typeof pattern.Regex === "string" : "String" in pattern);
  const { pattern: expression } = isText
    ? new SplitPreTokenizer(
      {
        type: "Split",
        pattern,
        invert: false,
      } as ConstructorParameters<typeof SplitPreTokenizer>[0],
    )
    : { pattern: null };
  if (expression === null) {
    throw new SyntaxError(`${component.type} has the pattern ${JSON.stringify(pattern)}`);
  }
  return expression;
}

/** The parts of a `Sequence`. */
export function partsOf(component: Component, field: string): Component[] {
  const parts = component[field];
  if (!Array.isArray(parts)) throw new TypeError(`a Sequence has no list of ${field}`);
  return parts as Component[];
}

/** The refusal of a type that is not known. */
export function unknownType(kind: string, { type }: Component): Error {
  return new Error(`its ${kind} ${JSON.stringify(type)} is not known here`);
}
