import assert from "node:assert/strict";
import { checkLosses, ratio, windowPerplexity } from "./measure.ts";

Deno.test("the mean of window means, and its standard error by hand", () => {
  // Means 1, 2 and 6: mean 3, sample deviation sqrt(7).
  const { perplexity, tokens, windows } = windowPerplexity([[1, 1], [1, 3], [6, 6]], "p");
  assert(Math.abs((perplexity?.value ?? NaN) / Math.exp(3) - 1) < 1e-14);
  const error = Math.exp(3) * Math.sqrt(7 / 3);
  assert(Math.abs((perplexity?.standardError ?? NaN) / error - 1) < 1e-14);
  assert.equal(perplexity?.protocol, "p");
  assert.deepEqual([tokens?.value, windows?.value], [6, 3]);
  assert.equal(windowPerplexity([[1, 2]], "p").perplexity?.standardError, undefined);
});

Deno.test("a ratio of sums and its standard error", () => {
  // 12 / 4; residuals 3, -3, 0: deviation 3, mean size 4/3.
  const { value, standardError } = ratio([6, 0, 6], [1, 1, 2]);
  assert.equal(value, 3);
  assert(Math.abs((standardError ?? NaN) - 3 / Math.sqrt(3) * 3 / 4) < 1e-14);
  // Where every document has the same loss a word, there is no error, whatever their sizes.
  assert.equal(ratio([2, 4, 6], [1, 2, 3]).standardError, 0);
  assert.equal(ratio([2], [1]).standardError, null);
});

Deno.test("losses that are no numbers", () => {
  assert.throws(() => checkLosses([1, Infinity], "gptq-8"), /\(gptq-8\) .* is Infinity/);
  assert.throws(() => windowPerplexity([[1, NaN]], "gptq-8"), /the loss of a token is NaN/);
});
