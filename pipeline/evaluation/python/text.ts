/**
 * Methods of Python's `str` where those of JavaScript differ: what counts as white space, what a
 * letter, and how long a text is.
 *
 * @module
 */

/** What `str.isspace` accepts, as the inside of a character class. */
export const WHITE_SPACE =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const LEADING = new RegExp(`^[${WHITE_SPACE}]+`);
const TRAILING = new RegExp(`[${WHITE_SPACE}]+$`);
const RUN = new RegExp(`[${WHITE_SPACE}]+`);
const ONLY = new RegExp(`^[${WHITE_SPACE}]$`);

/** `len(text)`: code points. */
export function length(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** `len(text.encode("utf-8"))`. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** `text.strip(characters)`; white space if there are none. */
export function strip(text: string, characters?: string): string {
  return leftStrip(rightStrip(text, characters), characters);
}

/** `text.lstrip(characters)`. */
export function leftStrip(text: string, characters?: string): string {
  if (characters === undefined) return text.replace(LEADING, "");
  const set = new Set(characters);
  const points = [...text];
  const first = points.findIndex((point) => !set.has(point));
  return first < 0 ? "" : points.slice(first).join("");
}

/** `text.rstrip(characters)`. */
export function rightStrip(text: string, characters?: string): string {
  if (characters === undefined) {
    // A backward walk: a regular expression takes quadratic time on long runs inside a text.
    let end = text.length;
    while (end > 0 && ONLY.test(text.charAt(end - 1))) end--;
    return text.slice(0, end);
  }
  const set = new Set(characters);
  const points = [...text];
  return points.slice(0, points.findLastIndex((point) => !set.has(point)) + 1).join("");
}

/** `text.capitalize()`: the first letter upper, all others lower. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return titleCase(first) + rest.join("").toLowerCase();
}

/** `text.title()`. */
export function title(text: string): string {
  return text.replace(/\p{L}+/gu, capitalize);
}

/** `text.split()`: what stands between runs of white space. */
export function splitWhiteSpace(text: string): string[] {
  return strip(text) === "" ? [] : strip(text).split(RUN);
}

/** `len(re.split(r"\s+", text))`: empty pieces at the ends count. */
export function countPieces(text: string): number {
  return text.split(RUN).length;
}

/** Whether `text[0].isspace()`. */
export function startsWithSpace(text: string): boolean {
  return LEADING.test(text);
}

/** Whether `text[-1].isspace()`. */
export function endsWithSpace(text: string): boolean {
  return TRAILING.test(text.slice(-1));
}

/** A ligature becomes two letters, of which the first is upper: "\u00df" is "Ss". */
function titleCase(letter: string): string {
  const [first = "", ...rest] = letter.toUpperCase();
  return first + rest.join("").toLowerCase();
}
