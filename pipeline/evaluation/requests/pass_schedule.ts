// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Which tokens go into which pass: families of texts are divided among the rows of a cache.
 *
 * @module
 */

import { type Chunk, CHUNK_TOKENS } from "../../models/chunked_model.ts";
import { commonPrefix } from "../../models/common_prefix.ts";
import { type Family, newTokens, type ScoredToken } from "./shared_prefixes.ts";

/** What a pass computes. */
export interface Pass {
  /** What rows of the cache take over from others before the pass. */
  readonly copies: readonly CacheCopy[];
  readonly chunks: readonly Chunk[];
  /** Tokens that the final hidden states of the pass predict, each with the row of its own. */
  readonly scored: readonly PassToken[];
}

/** The first `count` tokens of a row of the cache are also those of another one. */
export interface CacheCopy {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** A token and the row of the pass that predicts it. */
export interface PassToken extends ScoredToken {
  /** In `final` of the model. */
  readonly row: number;
}

/** A row of the cache at work. */
interface Slot {
  readonly index: number;
  /** Its paths are those from `next` to `end`, the current one first. */
  family: Family;
  next: number;
  end: number;
  /** Tokens of the current path that are computed. */
  position: number;
  /** Tokens of the current path that have their row. */
  scored: number;
  /** Tokens that the passes so far put into the cache. */
  content: Uint32Array;
}

/** A copied prefix may lack this share of what is taken over with it. */
const AFFORDED = 1 / 16;

/**
 * Divides families among `rows` rows of a cache and yields passes of up to `chunks` chunks.
 *
 * A row computes the paths of its family one after the other, each from where it leaves the one before.
 * A row that has nothing left takes paths from the row that has the most, and copies what they share.
 */
export function* schedulePasses(
  families: readonly Family[],
  rows: number,
  chunks: number,
): Generator<Pass> {
  let waiting = 0;
  const slots = Array.from({ length: rows }, (_, index): Slot => ({
    ...{ index, family: [], next: 0, end: 0, position: 0, scored: 0 },
    content: new Uint32Array(0),
  }));
  let first = 0;
  while (true) {
    const copies: CacheCopy[] = [];
    for (const slot of slots) {
      if (slot.next < slot.end) continue;
      const family = families[waiting];
      if (family === undefined) copies.push(...takeOver(slot, slots));
      else begin(slot, family, 0, family.length, 0);
      waiting++;
    }
    const pass: { chunks: Chunk[]; scored: PassToken[] } = { chunks: [], scored: [] };
    for (let turn = 0; turn < rows && pass.chunks.length < chunks; turn++) {
      const slot = slots[(first + turn) % rows]!;
      fill(slot, pass, chunks);
      // The next pass begins with the row that this one had no room for.
      if (pass.chunks.length === chunks) first = slot.index;
    }
    if (pass.chunks.length === 0) return;
    yield { copies, ...pass };
  }
}

function begin(slot: Slot, family: Family, next: number, end: number, position: number): void {
  Object.assign(slot, { family, next, end, position, scored: 0 });
}

/** Adds chunks of the current path of a row while there is room; goes to the next path at its end. */
function fill(
  slot: Slot,
  { chunks, scored }: { chunks: Chunk[]; scored: PassToken[] },
  most: number,
): void {
  const { family, next, end } = slot;
  if (next === end) return;
  const path = family[next]!;
  const { tokens } = path;
  while (slot.position < tokens.length && chunks.length < most) {
    const start = slot.position;
    const stop = Math.min(start + CHUNK_TOKENS, tokens.length);
    const row = chunks.length * CHUNK_TOKENS - start;
    chunks.push({ slot: slot.index, position: start, tokens: tokens.subarray(start, stop) });
    for (; slot.scored < path.scored.length; slot.scored++) {
      const token = path.scored[slot.scored]!;
      if (token.position >= stop) break;
      scored.push({ ...token, row: row + token.position });
    }
    slot.position = stop;
  }
  slot.content = tokens.subarray(0, slot.position);
  if (slot.position < tokens.length) return;
  begin(slot, family, next + 1, end, family[next + 1]?.shared ?? 0);
}

/** Gives a row about half of the paths of another, and what they share with what that has computed. */
function takeOver(slot: Slot, slots: readonly Slot[]): CacheCopy[] {
  const richest = slots.reduce((most, other) =>
    other.end - other.next > most.end - most.next ? other : most
  );
  const { family, next, end } = richest;
  const count = end - next;
  if (count < 2) return [];
  // Of the paths in the middle, one that shares little with the path before it.
  let split = next + (count >> 1);
  for (let index = next + 1 + (count >> 2); index < end - (count >> 2); index++) {
    if (family[index]!.shared < family[split]!.shared) split = index;
  }
  const path = family[split]!;
  const shared = Math.min(commonPrefix(richest.content, path.tokens), path.shared);
  if (path.shared - shared > AFFORDED * newTokens(family.slice(split, end))) return [];
  richest.end = split;
  begin(slot, family, split, end, shared);
  slot.content = path.tokens.subarray(0, shared);
  return shared === 0 ? [] : [{ from: richest.index, to: slot.index, count: shared }];
}
