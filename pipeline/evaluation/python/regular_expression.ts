/**
 * Python's regular expressions as JavaScript's.
 *
 * @module
 */

import { WHITE_SPACE } from "./text.ts";

/** A pattern that Python does not accept, or that has no counterpart in JavaScript. */
export class PatternError extends Error {
  override readonly name: string = "PatternError";
}

/** Classes of letters are those of Unicode in Python: ASCII only in JavaScript. */
const CLASSES: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  s: WHITE_SPACE,
  w: "\\p{L}\\p{N}_",
};

/** What a backslash may stand before in JavaScript's Unicode patterns. */
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/;

/**
 * Compiles a pattern of Python's `re`. The expression is global, so that `matchAll` and `replace` do
 * what `findall` and `sub` do.
 *
 * @throws {PatternError} If the pattern cannot be translated.
 *
 * @example `$` also matches before a newline at the end
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal("18.\n".replace(compile("\\.$"), ""), "18\n");
 * ```
 */
export function compile(pattern: string): RegExp {
  const flags = new Set(["g", "u"]);
  const inline = /^\(\?([aiLmsux]+)\)/.exec(pattern);
  for (const flag of inline?.[1] ?? "") {
    if (flag === "u") continue;
    if (!"ims".includes(flag)) throw new PatternError(`the flag (?${flag}) is not supported`);
    flags.add(flag);
  }
  const source = new Translator(pattern.slice(inline?.[0].length ?? 0), flags).translate();
  try {
    // Not "m": its lines end where those of Python do not.
    return new RegExp(source, [...flags].filter((flag) => flag !== "m").join(""));
  } catch (error) {
    throw new PatternError((error as Error).message);
  }
}

/** `re.findall(pattern, text)`: whole matches, the group if there is one, all groups if there are more. */
export function findAll(pattern: RegExp, text: string): (string | readonly string[])[] {
  return Array.from(text.matchAll(pattern), ([all, ...groups]) => {
    if (groups.length === 0) return all;
    const found = groups.map((group) => group ?? "");
    return found.length === 1 ? found[0] ?? "" : found;
  });
}

class Translator {
  readonly #pattern: string;
  readonly #multiline: boolean;
  readonly #dotAll: boolean;
  #at = 0;

  constructor(pattern: string, flags: ReadonlySet<string>) {
    this.#pattern = pattern;
    this.#multiline = flags.has("m");
    this.#dotAll = flags.has("s");
  }

  translate(): string {
    let out = "";
    while (this.#at < this.#pattern.length) out += this.#next();
    return out;
  }

  #next(): string {
    const letter = this.#letter();
    switch (letter) {
      case "\\":
        return this.#escape(false);
      case "[":
        return this.#class();
      case "(":
        return this.#group();
      case ".":
        // Only "\n" ends a line in Python.
        return this.#dotAll ? "." : "[^\\n]";
      case "^":
        return this.#multiline ? "(?<=^|\\n)" : "^";
      case "$":
        return this.#multiline ? "(?=\\n|$)" : "(?=\\n?$)";
      case "{":
        // A brace that begins no repetition is a letter.
        return /^\d*(,\d*)?\}/.test(this.#rest()) && !/^,?\}/.test(this.#rest())
          ? this.#repetition()
          : "\\{";
      case "}":
      case "]":
        return `\\${letter}`;
      default:
        return letter;
    }
  }

  #repetition(): string {
    const [all = "", low, high] = /^(\d*)((?:,\d*)?)\}/.exec(this.#rest()) ?? [];
    this.#at += all.length;
    return `{${low === "" ? "0" : low}${high}}`;
  }

  #escape(inClass: boolean): string {
    const letter = this.#letter();
    const known = CLASSES[letter.toLowerCase()];
    if (known !== undefined) {
      if (letter === letter.toLowerCase()) return inClass ? known : `[${known}]`;
      if (!inClass) return `[^${known}]`;
      // A class cannot hold the complement of another, except of these.
      if (letter === "D") return "\\P{Nd}";
      throw new PatternError(`\\${letter} inside [...] is not supported`);
    }
    if (!inClass && letter === "A") return "^";
    if (!inClass && (letter === "Z" || letter === "z")) return "$";
    if (letter === "b" || letter === "B") {
      if (inClass) return "\\x08";
      const word = `[${CLASSES.w}]`;
      const edge = `(?<=${word})(?!${word})|(?<!${word})(?=${word})`;
      return letter === "b" ? `(?:${edge})` : `(?!${edge})`;
    }
    if (letter === "a") return "\\x07";
    if (/[fnrtv]/.test(letter)) return `\\${letter}`;
    if (/[1-9]/.test(letter) && !inClass) {
      const more = /^\d?/.exec(this.#rest())?.[0] ?? "";
      this.#at += more.length;
      return `(?:\\${letter}${more})`;
    }
    const code = /^(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(0[0-7]{0,2}))/.exec(
      letter + this.#rest(),
    );
    if (code !== null) {
      this.#at += code[0].length - 1;
      const digits = code[1] ?? code[2] ?? code[3];
      const value = digits === undefined ? parseInt(code[4] ?? "", 8) : parseInt(digits, 16);
      return `\\u{${value.toString(16)}}`;
    }
    if (/[a-z0-9]/i.test(letter) || letter === "") {
      throw new PatternError(`\\${letter} is not an escape`);
    }
    if (inClass && letter === "-") return "\\-";
    return SYNTAX.test(letter) ? `\\${letter}` : letter;
  }

  #class(): string {
    let out = "[";
    if (this.#rest().startsWith("^")) out += this.#letter();
    for (let first = true;; first = false) {
      const letter = this.#letter();
      if (letter === "") throw new PatternError("a [ has no ]");
      if (letter === "]" && !first) return `${out}]`;
      if (letter === "\\") out += this.#escape(true);
      else out += SYNTAX.test(letter) ? `\\${letter}` : letter;
    }
  }

  #group(): string {
    const [all = "", name] = /^\?P<(\w+)>/.exec(this.#rest()) ?? [];
    if (name !== undefined) {
      this.#at += all.length;
      return `(?<${name}>`;
    }
    const back = /^\?P=(\w+)\)/.exec(this.#rest());
    if (back !== null) {
      this.#at += back[0].length;
      return `\\k<${back[1]}>`;
    }
    const comment = /^\?#[^)]*\)/.exec(this.#rest());
    if (comment !== null) {
      this.#at += comment[0].length;
      return "";
    }
    const special = /^\?(?:[:=!]|<[=!])/.exec(this.#rest());
    if (special !== null) {
      this.#at += special[0].length;
      return `(${special[0]}`;
    }
    if (this.#rest().startsWith("?")) {
      throw new PatternError(`(${this.#rest().slice(0, 3)} is not supported`);
    }
    return "(";
  }

  #letter(): string {
    const letter = String.fromCodePoint(this.#pattern.codePointAt(this.#at) ?? 0);
    if (this.#at >= this.#pattern.length) return "";
    this.#at += letter.length;
    return letter;
  }

  #rest(): string {
    return this.#pattern.slice(this.#at);
  }
}
