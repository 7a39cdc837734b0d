import assert from "node:assert/strict";
import fc from "fast-check";
import { Unigram } from "./unigram.ts";

const UNKNOWN = -1;
const PENALTY = -20;

/** The greatest sum of scores of all spellings of a text. */
function bestSum(text: string, scores: ReadonlyMap<string, number>): number {
  if (text === "") return 0;
  const sums = Array.from({ length: text.length }, (_, index) => {
    const piece = text.slice(0, index + 1);
    const score = scores.get(piece) ?? (index === 0 ? PENALTY : -Infinity);
    return score + bestSum(text.slice(index + 1), scores);
  });
  return Math.max(...sums);
}

Deno.test("Unigram finds the spelling with the greatest sum", () => {
  const piece = fc.string({ unit: fc.constantFrom(..."abc"), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(piece, fc.integer({ min: -15, max: -1 })), {
        selector: ([text]) => text,
      }),
      fc.string({ unit: fc.constantFrom(..."abc"), maxLength: 9 }),
      (list, text) => {
        const scores = new Map(list);
        const pieces = list.map(([text, score], id) => ({ id, text, score }));
        const unigram = new Unigram(pieces, { unknownId: UNKNOWN, unknownScore: PENALTY });
        const segments = unigram.segment(text);
        assert.equal(segments.map(({ start, end }) => text.slice(start, end)).join(""), text);
        const sum = segments.reduce((sum, { id }) => sum + (list[id]?.[1] ?? PENALTY), 0);
        assert.equal(sum, bestSum(text, scores));
      },
    ),
    { seed: 7, numRuns: 500 },
  );
});

Deno.test("Unigram knows characters beyond U+FFFF as one", () => {
  const pieces = [{ id: 0, text: "\u{1f999}", score: -1 }];
  const unigram = new Unigram(pieces, { unknownId: 9, unknownScore: -11 });
  assert.deepEqual(unigram.segment("\u{1f999}\u{1f998}").map(({ id }) => id), [0, 9]);
  assert.deepEqual(unigram.segment(""), []);
});
