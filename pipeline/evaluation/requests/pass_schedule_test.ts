// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import fc from "fast-check";
import { CHUNK_TOKENS } from "../../models/chunked_model.ts";
import { type Pass, schedulePasses } from "./pass_schedule.ts";
import { type ScoredText, sharePrefixes } from "./shared_prefixes.ts";

function text(context: readonly number[], continuation: readonly number[]): ScoredText {
  return { context: Uint32Array.from(context), continuation: Uint32Array.from(continuation) };
}

function schedule(texts: readonly ScoredText[], rows: number, chunks: number): Pass[] {
  return [...schedulePasses(sharePrefixes(texts), rows, chunks)];
}

function computedTokens(passes: readonly Pass[]): number {
  return passes.flatMap(({ chunks }) => chunks).reduce((sum, { tokens }) => sum + tokens.length, 0);
}

/** Plays passes on a cache that holds tokens instead of keys and values, and checks what they read. */
function play(texts: readonly ScoredText[], passes: readonly Pass[], rows: number): void {
  const cache: (number | undefined)[][] = Array.from({ length: rows }, () => []);
  const scored = new Set<string>();
  for (const { copies, chunks, scored: tokens } of passes) {
    for (const { from, to, count } of copies) {
      cache[to] = [...cache[from]!.slice(0, count), ...cache[to]!.slice(count)];
    }
    const written = new Set<string>();
    for (const { slot, position, tokens } of chunks) {
      // The places behind a short chunk are overwritten with anything.
      for (let place = position; place < position + CHUNK_TOKENS; place++) {
        const token = tokens[place - position];
        if (token !== undefined) {
          assert.ok(
            !written.has(`${slot} ${place}`),
            `${slot} ${place} is written twice in a pass`,
          );
          written.add(`${slot} ${place}`);
        }
        if (token !== undefined || !written.has(`${slot} ${place}`)) cache[slot]![place] = token;
      }
    }
    for (const { request, index, position, token, row } of tokens) {
      const { context, continuation } = texts[request]!;
      assert.equal(token, continuation[index]);
      assert.equal(position, context.length - 1 + index);
      const chunk = chunks[Math.floor(row / CHUNK_TOKENS)]!;
      assert.equal(chunk.position + row % CHUNK_TOKENS, position);
      assert.ok(row % CHUNK_TOKENS < chunk.tokens.length);
      const seen = cache[chunk.slot]!.slice(0, position + 1);
      assert.deepEqual(seen, [...context, ...continuation].slice(0, position + 1));
      assert.ok(!scored.has(`${request} ${index}`), `${request} ${index} is scored twice`);
      scored.add(`${request} ${index}`);
    }
  }
  const wanted = texts.reduce((sum, { continuation }) => sum + continuation.length, 0);
  assert.equal(scored.size, wanted);
}

Deno.test("property: every token of every continuation is scored once, after its own text", () => {
  const ids = (most: number) =>
    fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: most });
  // Texts that begin with one of two long prefixes, or with a part of one.
  const prefixed = fc.record({
    prefix: fc.integer({ min: 0, max: 1 }),
    length: fc.integer({ min: 0, max: 60 }),
    rest: ids(12),
    continuation: ids(20),
  }).map(({ prefix, length, rest, continuation }) => {
    const shared = Array.from({ length }, (_, index) => (index * 7 + prefix * (index % 3)) % 5);
    return text([...shared, ...rest], continuation);
  });
  fc.assert(
    fc.property(
      fc.array(prefixed, { maxLength: 40 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 9 }),
      (texts, rows, chunks) => play(texts, schedule(texts, rows, chunks), rows),
    ),
    { seed: 3, numRuns: 2000 },
  );
});

Deno.test("continuations of one token share the whole pass of their context", () => {
  const context = Array.from({ length: 40 }, (_, index) => index);
  const texts = [62, 63, 64, 65].map((letter) => text(context, [letter]));
  const passes = schedule(texts, 4, 64);
  assert.equal(passes.length, 1);
  assert.equal(computedTokens(passes), 40);
  assert.deepEqual(passes[0]!.scored.map(({ row }) => row), [39, 39, 39, 39]);
});

Deno.test("the continuations of a question compute its context once", () => {
  const context = Array.from({ length: 50 }, (_, index) => index);
  const texts = [0, 1, 2, 3].map((ending) => text(context, [100 + ending, 7, 8, 9, 10]));
  // Of each ending all but the last token are computed.
  assert.equal(computedTokens(schedule(texts, 2, 64)), 50 + 4 * 4);
});

Deno.test("many questions after one long beginning share it on all rows of the cache", () => {
  const beginning = Array.from({ length: 600 }, (_, index) => index % 50);
  const texts = Array.from({ length: 80 }, (_, question) => {
    return text([...beginning, ...Array.from({ length: 30 }, (_, i) => 50 + question * i % 97)], [
      1,
    ]);
  });
  const passes = schedule(texts, 8, 64);
  assert.equal(new Set(passes.flatMap(({ chunks }) => chunks.map(({ slot }) => slot))).size, 8);
  // Without sharing they would be 50,400; first tokens of questions are shared, too.
  assert.ok(computedTokens(passes) <= 600 + 80 * 30, `${computedTokens(passes)} tokens`);
});

Deno.test("the longest texts come first", () => {
  const lengths = [3, 90, 20, 41];
  const texts = lengths.map((length, index) => text(new Array(length).fill(index), [9]));
  const [first] = schedule(texts, 1, 1);
  assert.equal(first!.chunks[0]!.tokens[0], 1);
  const order = sharePrefixes(texts).map((family) => family[0]!.tokens.length);
  assert.deepEqual(order, [90, 41, 20, 3]);
});
