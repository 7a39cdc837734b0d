/**
 * Says in plain sentences what a zod schema finds wrong: the path, the value wanted, the value found,
 * and the likely intention.
 *
 * @module
 */

import type { z } from "zod";
import type { Path } from "./located.ts";
import { allowedMap, type JsonSchema } from "./schema_paths.ts";
import { closest, didYouMean, didYouMeanOf, enumerate } from "./suggestions.ts";

/** A mistake as zod finds it. */
export type Issue = z.core.$ZodIssue;

/** One mistake and the part of the value that it is about. */
export interface Explanation {
  /** Steps to the part. */
  readonly path: Path;
  /** Whether the mistake is about the key at the end of the path, or about its value. */
  readonly about: "key" | "value";
  /** What is wrong, what is wanted and what was found. */
  readonly message: string;
}

/** What was checked. */
export interface Checked {
  /** The value as it was written. */
  readonly value: unknown;
  /** JSON Schema of what is allowed, for suggestions. */
  readonly schema: JsonSchema;
  /** Keys that are allowed at the top besides those of the schema. */
  readonly keys?: readonly string[];
  /** What messages call the value ("base"); empty for the whole file. */
  readonly label: string;
}

/** Turns the issues of a failed parse into explanations. */
export function explainIssues(issues: readonly Issue[], checked: Checked): Explanation[] {
  const explanations = flatten(issues, [], checked.value).flatMap(([path, issue]) =>
    explain(path, issue, checked)
  );
  // "modle" instead of "model" is one mistake: the key is not missing besides.
  const intended = new Set(explanations.map(({ intention }) => intention));
  return explanations.filter(({ missing }) => missing === undefined || !intended.has(missing));
}

interface Detailed extends Explanation {
  /** Path of the key that was probably meant by an unknown one. */
  readonly intention?: string;
  /** Path of the key that is missing. */
  readonly missing?: string;
}

/** Issues with their full paths; of a union, those of the alternative that was probably meant. */
function flatten(
  issues: readonly Issue[],
  prefix: Path,
  value: unknown,
): (readonly [Path, Issue])[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path.map(String)];
    if (issue.code !== "invalid_union" || issue.errors.length === 0) {
      return [[path, issue] as const];
    }
    const inside = issue.errors.filter((errors) => !errors.every(isAboutKind));
    const part = valueAt(value, path);
    if (inside.length === 0 || typeof part !== "object" || part === null) {
      return [[path, issue] as const];
    }
    const nearest = inside.reduce((best, errors) =>
      mistakesIn(errors) < mistakesIn(best) ? errors : best
    );
    return flatten(nearest, path, value);
  });
}

/** Every unknown key is a mistake of its own. */
function mistakesIn(issues: readonly Issue[]): number {
  return issues.reduce(
    (sum, issue) => sum + (issue.code === "unrecognized_keys" ? issue.keys.length : 1),
    0,
  );
}

function isAboutKind(issue: Issue): boolean {
  return issue.path.length === 0 &&
    (issue.code === "invalid_type" || issue.code === "invalid_value" ||
      (issue.code === "invalid_union" &&
        issue.errors.every((errors) => errors.every(isAboutKind)) &&
        issue.errors.length > 0));
}

function explain(path: Path, issue: Issue, checked: Checked): Detailed[] {
  const name = nameOf(checked.label, path);
  if (issue.code === "unrecognized_keys") {
    const { keys, choices } = allowedMap(checked.schema, checked.value, path);
    const allowed = [...(path.length === 0 ? checked.keys ?? [] : []), ...keys];
    const choice = choices.length === 0 ? "" : ` with ${enumerate(choices, "and")}`;
    return issue.keys.map((key) => {
      const intention = closest(key, allowed);
      return {
        path: [...path, key],
        about: "key" as const,
        message: `Unknown key ${JSON.stringify(key)}${name === "" ? "" : ` in ${name}`}${choice}` +
          didYouMeanOf(key, allowed),
        ...(intention === null ? {} : { intention: [...path, intention].join(".") }),
      };
    });
  }
  if (issue.code === "custom") {
    return [{ path, about: "value", message: `${name}: ${issue.message}` }];
  }
  if (issue.code === "invalid_key") {
    return [{
      path,
      about: "key",
      message: `${name} is not a valid key: it must be ${wanted(issue.issues)}`,
    }];
  }
  const value = valueAt(checked.value, path);
  if (value === undefined && path.length > 0) {
    const parent = nameOf(checked.label, path.slice(0, -1));
    return [{
      path,
      about: "key",
      message: `Missing key ${JSON.stringify(path[path.length - 1])}` +
        `${parent === "" ? "" : ` in ${parent}`}: it must be ${wanted([issue])}`,
      missing: path.join("."),
    }];
  }
  const choices = words(issue).flatMap((word) => word.startsWith('"') ? [JSON.parse(word)] : []);
  return [{
    path,
    about: "value",
    message: `${name} must be ${wanted([issue])}: found ${foundValue(value)}` +
      (typeof value === "string" ? didYouMean(value, choices) : "") +
      numberInQuotes(value, issue),
  }];
}

function nameOf(label: string, path: Path): string {
  return [...(label === "" ? [] : [label]), ...path].join(".");
}

function valueAt(value: unknown, path: Path): unknown {
  let part = value;
  for (const key of path) part = (part as Record<string, unknown> | null | undefined)?.[key];
  return part;
}

function wanted(issues: readonly Issue[]): string {
  return enumerate([...new Set(issues.flatMap(words))], "or");
}

/** What would be right, as alternatives. */
function words(issue: Issue): string[] {
  switch (issue.code) {
    case "invalid_type":
      return [KINDS[issue.expected] ?? `a ${issue.expected}`];
    case "invalid_value":
      return issue.values.map((value) =>
        typeof value === "string" ? JSON.stringify(value) : String(value)
      );
    case "invalid_union":
      if (issue.errors.length > 0) return issue.errors.flatMap((errors) => errors.flatMap(words));
      return "options" in issue && Array.isArray(issue.options)
        ? issue.options.map((option) => JSON.stringify(option))
        : ["one of the alternatives"];
    case "too_small":
      return [
        bound(issue.origin, issue.inclusive !== false ? "at least" : "more than", issue.minimum),
      ];
    case "too_big":
      return [
        bound(issue.origin, issue.inclusive !== false ? "at most" : "less than", issue.maximum),
      ];
    case "not_multiple_of":
      return [`a multiple of ${issue.divisor}`];
    case "invalid_format":
      return [
        issue.pattern === undefined
          ? `text of the form ${issue.format}`
          : `text that matches ${issue.pattern}`,
      ];
    case "invalid_element":
      return issue.issues.flatMap(words);
    default:
      return [issue.message];
  }
}

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a map",
  record: "a map",
  null: "null",
};

function bound(origin: string, comparison: string, limit: number | bigint): string {
  if (origin === "string") return `text of ${comparison} ${limit} characters`;
  if (origin === "array" || origin === "set") {
    return `a list of ${comparison} ${limit} ${Number(limit) === 1 ? "entry" : "entries"}`;
  }
  if (origin === "int") return `a whole number of ${comparison} ${limit}`;
  return `${comparison} ${limit}`;
}

/** A value as messages show it: short ones as they are, long ones by their kind. */
export function foundValue(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a map";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}

function numberInQuotes(value: unknown, issue: Issue): string {
  const isNumeric = typeof value === "string" && value.trim() !== "" && !isNaN(Number(value));
  return isNumeric && issue.code === "invalid_type" &&
      (issue.expected === "number" || issue.expected === "int")
    ? " in quotes; a number has none"
    : "";
}
