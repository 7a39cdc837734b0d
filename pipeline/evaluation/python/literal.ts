/**
 * Python's notation of values: `repr` writes it, `ast.literal_eval` reads it. Tasks need both,
 * because a template that yields a list yields its text.
 *
 * @module
 */

/** A value that Python's notation can say. */
export type Literal =
  | string
  | number
  | boolean
  | null
  | readonly Literal[]
  | { readonly [key: string]: Literal };

/** A text is not a value in Python's notation. */
export class LiteralError extends Error {
  override readonly name: string = "LiteralError";
}

/** `str(value)`: texts as they are, everything else as `repr`. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : repr(value);
}

/**
 * `repr(value)`. Whole numbers are integers: JSON does not say which of them were floats.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(repr(["yes", "it's", null]), `['yes', "it's", None]`);
 * ```
 */
export function repr(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return numberText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  const entries = Object.entries(value as object);
  return `{${entries.map(([key, part]) => `${quoted(key)}: ${repr(part)}`).join(", ")}}`;
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
  if (Object.is(value, -0)) return "-0.0";
  const magnitude = Math.abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e16) {
    // Python writes an exponent of two digits at least.
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** What `str.isprintable` refuses. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function quoted(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  let out = quote;
  for (const letter of value) {
    if (letter === quote || letter === "\\") out += `\\${letter}`;
    else if (SHORT[letter] !== undefined) out += SHORT[letter];
    else if (letter === " " || !UNPRINTABLE.test(letter)) out += letter;
    else out += escaped(letter.codePointAt(0) ?? 0);
  }
  return out + quote;
}

function escaped(code: number): string {
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/**
 * `ast.literal_eval(source)`, of texts, numbers, booleans, `None`, lists, tuples and dictionaries with
 * texts as keys.
 *
 * @throws {LiteralError} If the text is anything else.
 */
export function literal(source: string): Literal {
  // Leading spaces and tabs are stripped by `literal_eval`; other space around a value is no matter.
  return new Reader(source).read();
}

class Reader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Literal {
    const value = this.#value();
    if (this.#peek() === ",") {
      const items = [value, ...this.#afterComma()];
      return items;
    }
    if (this.#peek() !== "") this.#fail();
    return value;
  }

  /** The rest of a tuple without parentheses. */
  #afterComma(): Literal[] {
    const items: Literal[] = [];
    while (this.#take(",")) if (this.#peek() !== "") items.push(this.#value());
    if (this.#peek() !== "") this.#fail();
    return items;
  }

  #value(): Literal {
    const next = this.#peek();
    if (next === "[") return this.#list("[", "]").items;
    if (next === "(") {
      const { items, commas } = this.#list("(", ")");
      const [only] = items;
      return commas === 0 && only !== undefined ? only : items;
    }
    if (next === "{") return this.#dictionary();
    if (/^[bru]?['"]/i.test(this.#source.slice(this.#at, this.#at + 2))) return this.#texts();
    const [word] = /^[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?/i.exec(
      this.#source.slice(this.#at),
    ) ?? [];
    if (word !== undefined) {
      this.#at += word.length;
      return Number(word.replaceAll("_", ""));
    }
    for (const [name, value] of [["True", true], ["False", false], ["None", null]] as const) {
      if (!this.#source.startsWith(name, this.#at)) continue;
      this.#at += name.length;
      return value;
    }
    return this.#fail();
  }

  #list(open: string, close: string): { items: Literal[]; commas: number } {
    this.#expect(open);
    const items: Literal[] = [];
    let commas = 0;
    while (this.#peek() !== close) {
      items.push(this.#value());
      if (!this.#take(",")) break;
      commas++;
    }
    this.#expect(close);
    return { items, commas };
  }

  #dictionary(): Literal {
    this.#expect("{");
    const entries: [string, Literal][] = [];
    while (this.#peek() !== "}") {
      const key = this.#value();
      this.#expect(":");
      entries.push([text(key), this.#value()]);
      if (!this.#take(",")) break;
    }
    this.#expect("}");
    return Object.fromEntries(entries);
  }

  /** One text, or several that stand side by side. */
  #texts(): string {
    let out = "";
    while (/^[ru]?['"]/i.test(this.#source.slice(this.#at, this.#at + 2))) {
      const raw = /r/i.test(this.#source.charAt(this.#at));
      if (!/['"]/.test(this.#source.charAt(this.#at))) this.#at++;
      out += this.#quoted(raw);
      this.#peek();
    }
    return out;
  }

  #quoted(raw: boolean): string {
    const single = this.#source.charAt(this.#at);
    const quote = this.#source.startsWith(single.repeat(3), this.#at) ? single.repeat(3) : single;
    this.#at += quote.length;
    let out = "";
    while (!this.#source.startsWith(quote, this.#at)) {
      const letter = this.#source.charAt(this.#at);
      if (letter === "" || (letter === "\n" && quote.length === 1)) this.#fail();
      out += letter === "\\" ? this.#escape(raw) : letter;
      if (letter !== "\\") this.#at++;
    }
    this.#at += quote.length;
    return out;
  }

  #escape(raw: boolean): string {
    const rest = this.#source.slice(this.#at + 1);
    if (raw) {
      this.#at += 2;
      return `\\${rest.charAt(0)}`;
    }
    const [all = "", x, u, U, octal] =
      /^(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3}))/.exec(rest) ?? [];
    const digits = x ?? u ?? U;
    if (digits !== undefined || octal !== undefined) {
      this.#at += 1 + all.length;
      return String.fromCodePoint(
        digits === undefined ? parseInt(octal ?? "", 8) : parseInt(digits, 16),
      );
    }
    this.#at += 2;
    const letter = rest.charAt(0);
    // An escape that Python does not know keeps its backslash.
    return ESCAPES[letter] ?? `\\${letter}`;
  }

  /** The next letter that is not white space; empty at the end. */
  #peek(): string {
    while (/\s/.test(this.#source.charAt(this.#at))) this.#at++;
    return this.#source.charAt(this.#at);
  }

  #take(wanted: string): boolean {
    if (this.#peek() !== wanted) return false;
    this.#at++;
    return true;
  }

  #expect(wanted: string): void {
    if (!this.#take(wanted)) this.#fail();
  }

  #fail(): never {
    const source = this.#source.length > 60 ? `${this.#source.slice(0, 60)}…` : this.#source;
    throw new LiteralError(`not a value in Python's notation: ${JSON.stringify(source)}`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
