/**
 * JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it, to the last byte: hashes of it
 * tell whether two programs saw the same item.
 *
 * @module
 */

import { repr } from "../evaluation/python/literal.ts";

/** A number that is a float in Python also where it is whole. */
export class PythonFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }

  /** `repr(value)`: "1.0", "-inf". */
  toString(): string {
    const text = repr(this.value);
    return /^-?\d+$/.test(text) ? `${text}.0` : text;
  }
}

/** What Python escapes in JSON; everything else stands for itself. */
// deno-lint-ignore no-control-regex -- control characters are what it is about
const ESCAPED = /["\\\x00-\x1f]/g;

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

/**
 * Writes a value. Whole numbers are integers, but for {@linkcode PythonFloat}; NaN and infinities are
 * written as Python does, which strict readers of JSON refuse.
 *
 * @param indent Spaces of a level; null writes one line, with a space behind "," and ":".
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(pythonJson({ a: [1, 1e-5], b: null }, null), '{"a": [1, 1e-05], "b": null}');
 * ```
 */
export function pythonJson(value: unknown, indent: number | null): string {
  return write(value, indent, "");
}

function write(value: unknown, indent: number | null, margin: string): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return quoted(value);
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (value instanceof PythonFloat) return numberText(value.value, value.toString());
  if (typeof value === "number") return numberText(value, repr(value));
  if (Array.isArray(value)) {
    return enclosed("[", value, "]", indent, margin, (item, inner) => write(item, indent, inner));
  }
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return enclosed(
    "{",
    entries,
    "}",
    indent,
    margin,
    ([key, part], inner) => `${quoted(key)}: ${write(part, indent, inner)}`,
  );
}

function enclosed<Item>(
  open: string,
  items: readonly Item[],
  close: string,
  indent: number | null,
  margin: string,
  text: (item: Item, margin: string) => string,
): string {
  if (items.length === 0) return open + close;
  if (indent === null) return open + items.map((item) => text(item, "")).join(", ") + close;
  const inner = margin + " ".repeat(indent);
  const lines = items.map((item) => inner + text(item, inner));
  return `${open}\n${lines.join(",\n")}\n${margin}${close}`;
}

function quoted(text: string): string {
  const escaped = text.replace(
    ESCAPED,
    (letter) => SHORT[letter] ?? `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

function numberText(value: number, text: string): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return text;
  return value > 0 ? "Infinity" : "-Infinity";
}
