/**
 * "Did you mean": the nearest of the allowed words to a misspelt one.
 *
 * @module
 */

import { distance } from "fastest-levenshtein";

/**
 * The candidate nearest to `word` by edit distance, or null if none is near enough to be what was
 * meant: at most a third of the letters may differ, or two, whichever is more. Case and the choice
 * between "-" and "_" do not count.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(closest("grop_size", ["group_size", "bits"]), "group_size");
 * assert.equal(closest("window", ["group_size", "bits"]), null);
 * ```
 */
export function closest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const edits = distance(normalize(word), normalize(candidate));
    if (edits < bestDistance) {
      best = candidate;
      bestDistance = edits;
    }
  }
  const length = Math.max(word.length, best?.length ?? 0);
  // Two edits turn any two-letter word into any other, so short words are allowed fewer.
  const allowed = Math.min(Math.max(2, Math.floor(length / 3)), length - 2);
  return bestDistance <= allowed ? best : null;
}

function normalize(word: string): string {
  return word.toLowerCase().replaceAll("-", "_");
}

/** `; did you mean "group_size"?`, or an empty string where nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const suggestion = closest(word, candidates);
  return suggestion === null ? "" : `; did you mean ${JSON.stringify(suggestion)}?`;
}

/** As `didYouMean`, followed by everything that is allowed. */
export function didYouMeanOf(word: string, allowed: readonly string[]): string {
  const suggestion = didYouMean(word, allowed);
  if (allowed.length === 0) return suggestion;
  return `${suggestion === "" ? "; allowed" : `${suggestion} Allowed`}: ${allowed.join(", ")}`;
}

/**
 * Words as people list them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(enumerate(["2", "4", "8"], "or"), "2, 4 or 8");
 * ```
 */
export function enumerate(words: readonly string[], conjunction: "and" | "or"): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} ${conjunction} ${words[words.length - 1]}`;
}
