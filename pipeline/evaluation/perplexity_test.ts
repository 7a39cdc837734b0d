import assert from "node:assert/strict";
import fc from "fast-check";
import type { Example } from "../data/dataset.ts";
import {
  measurePerplexity,
  type PerplexityProtocol,
  perplexityRows,
  protocolName,
} from "./perplexity.ts";

function ascending(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index);
}

/** Tokens scored and the context each was scored with. */
function scoredTokens(rows: readonly Example[]): { token: number; context: number }[] {
  return rows.flatMap(({ tokens, targets }) =>
    [...targets].flatMap((target, context) =>
      target === 1 ? [{ token: tokens[context] as number, context }] : []
    )
  );
}

/** A model that knows the answer: the loss of a token is a function of its id alone. */
function scoreById(loss: (token: number) => number) {
  return (rows: readonly Example[]) =>
    Promise.resolve(
      rows.map(({ tokens, targets }) =>
        Float64Array.from(tokens, (token, index) => targets[index] === 1 ? loss(token) : 0)
      ),
    );
}

Deno.test("window: every token but a window's first, partial last window kept", () => {
  const rows = perplexityRows([ascending(4), ascending(3)], { kind: "window", window: 3 });
  assert.deepEqual(rows.map(({ tokens, targets }) => [[...tokens], [...targets]]), [
    [[0, 1, 2], [0, 1, 1]],
    [[3, 0, 1], [0, 1, 1]],
  ]);
  assert.equal(perplexityRows([ascending(8)], { kind: "window", window: 3 }).length, 3);
});

Deno.test("document: each alone, a long one in windows", () => {
  const rows = perplexityRows([ascending(2), ascending(1), ascending(5)], {
    kind: "document",
    window: 3,
  });
  assert.deepEqual(rows.map(({ tokens }) => [...tokens]), [[0, 1], [0, 1, 2], [3, 4]]);
});

Deno.test("property: stride scores every token but the first once, with enough context", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 9 }), fc.nat(8), fc.nat(60), (window, less, count) => {
      const stride = Math.max(1, window - 1 - less);
      const scored = scoredTokens(
        perplexityRows([ascending(count)], { kind: "stride", window, stride }),
      );
      assert.deepEqual(scored.map(({ token }) => token), [...ascending(count)].slice(1));
      for (const { token, context } of scored) {
        assert(context >= Math.min(token, window - stride), `token ${token} had ${context}`);
      }
    }),
    { seed: 2, numRuns: 200 },
  );
});

Deno.test("a stride of the whole window is the window protocol", () => {
  assert.deepEqual(
    perplexityRows([ascending(20)], { kind: "stride", window: 6, stride: 6 }),
    perplexityRows([ascending(20)], { kind: "window", window: 6 }),
  );
});

Deno.test("value and standard error by hand", async () => {
  // Scored: tokens 1, 2, 3 with losses 1, 2, 3: mean 2, sample deviation 1.
  const result = await measurePerplexity(
    [ascending(4)],
    { kind: "window", window: 8 },
    scoreById((token) => token),
  );
  assert.equal(result.tokens, 3);
  assert.equal(result.meanLoss, 2);
  assert.equal(result.perplexity, Math.exp(2));
  assert(Math.abs(result.standardError - Math.exp(2) / Math.sqrt(3)) < 1e-12);
  assert.equal(result.protocol, "window-8");
});

Deno.test("a uniform model over V tokens has perplexity V without error", async () => {
  const result = await measurePerplexity(
    [ascending(100)],
    { kind: "stride", window: 10, stride: 5 },
    scoreById(() => Math.log(2048)),
  );
  assert(Math.abs(result.perplexity - 2048) < 1e-9);
  assert(result.standardError < 1e-9);
  assert.equal(result.tokens, 99);
});

Deno.test("protocol names", () => {
  assert.equal(protocolName({ kind: "stride", window: 512, stride: 256 }), "stride-256");
  assert.equal(protocolName({ kind: "document", window: 512 }), "document");
});

Deno.test("what cannot be measured is refused", async () => {
  const rows = (protocol: PerplexityProtocol) => () => perplexityRows([ascending(9)], protocol);
  assert.throws(rows({ kind: "window", window: 1 }), /window of 1 tokens scores none/);
  assert.throws(rows({ kind: "stride", window: 4, stride: 5 }), /stride of 5/);
  assert.throws(rows({ kind: "stride", window: 4, stride: 0 }), /stride of 0/);
  const window = { kind: "window", window: 4 } as const;
  await assert.rejects(measurePerplexity([], window, scoreById(() => 1)), /the text has 0/);
  await assert.rejects(
    measurePerplexity([ascending(9)], window, scoreById((token) => token === 3 ? NaN : 1)),
    /loss of a token is NaN/,
  );
});
