// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Which tokens of many texts have to be computed: texts that begin with the same tokens share them.
 *
 * @module
 */

import { commonPrefix } from "../../models/common_prefix.ts";

/** Equal tokens from which on it is worth that texts share them. */
const LEAST_SHARED = 16;

/** A token whose probability is asked for. */
export interface ScoredToken {
  /** Of the token before it in the text, whose final hidden state predicts it. */
  readonly position: number;
  readonly token: number;
  /** Number of the request. */
  readonly request: number;
  /** Number of the token in the continuation of the request. */
  readonly index: number;
}

/** A text to be computed, after those before it in its family. */
export interface Path {
  readonly tokens: Uint32Array;
  /** Tokens that it shares with the path before it in the family. */
  readonly shared: number;
  /** Ordered by position, all from `shared` on. */
  readonly scored: ScoredToken[];
}

/** Paths that share their first tokens, ordered so that neighbours share as many as possible. */
export type Family = readonly Path[];

/** A text whose last tokens are scored. */
export interface ScoredText {
  /** Not empty. */
  readonly context: Uint32Array;
  /** Not empty. */
  readonly continuation: Uint32Array;
}

/**
 * Arranges texts into families. In a family, a text that goes over the same tokens as one before it has
 * only the others computed; of equal texts there is one. The families with the most tokens come first,
 * so that none is left alone at the end.
 *
 * A token is predicted by what comes before it, so the last one of a text is not computed.
 */
export function sharePrefixes(texts: readonly ScoredText[]): Family[] {
  const inputs = texts.map(({ context, continuation }) => {
    const tokens = new Uint32Array(context.length + continuation.length - 1);
    tokens.set(context);
    tokens.set(continuation.subarray(0, -1), context.length);
    return tokens;
  });
  const order = inputs.map((_, index) => index)
    .sort((left, right) => compare(inputs[left]!, inputs[right]!) || left - right);
  const families: Path[][] = [];
  /** The path that computes each position of the newest one. */
  let owners: Path[] = [];
  for (const request of order) {
    const tokens = inputs[request]!;
    let family = families.at(-1);
    const before = family?.at(-1);
    let shared = before === undefined ? 0 : commonPrefix(before.tokens, tokens);
    if (family === undefined || shared < Math.min(LEAST_SHARED, tokens.length)) {
      families.push(family = []);
      owners = [];
      shared = 0;
    }
    if (shared < tokens.length) {
      const path: Path = { tokens, shared, scored: [] };
      family.push(path);
      owners.length = shared;
      for (let position = shared; position < tokens.length; position++) owners.push(path);
    }
    const { context, continuation } = texts[request]!;
    continuation.forEach((token, index) => {
      const position = context.length - 1 + index;
      owners[position]!.scored.push({ position, token, request, index });
    });
  }
  for (const path of families.flat()) path.scored.sort((a, b) => a.position - b.position);
  const work = new Map(families.map((family) => [family, newTokens(family)]));
  return families.sort((left, right) => work.get(right)! - work.get(left)!);
}

/** Tokens that a family has computed. */
export function newTokens(family: Family): number {
  return family.reduce((sum, { tokens, shared }) => sum + tokens.length - shared, 0);
}

/** The order of a dictionary: a text before those that it begins. */
function compare(left: Uint32Array, right: Uint32Array): number {
  const length = commonPrefix(left, right);
  if (length === left.length || length === right.length) return left.length - right.length;
  return left[length]! - right[length]!;
}
