import assert from "node:assert/strict";
import { closest, didYouMean, didYouMeanOf, enumerate } from "./suggestions.ts";

Deno.test("closest() finds the word that was meant and nothing far from it", () => {
  const cases: [string, string[], string | null][] = [
    ["grop_size", ["bits", "group_size", "method"], "group_size"],
    ["GroupSize", ["group_size"], "group_size"],
    ["qa_blora", ["lora", "qa-lora", "q-blora", "qa-blora"], "qa-blora"],
    ["rtm", ["none", "rtn", "nf4"], "rtn"],
    ["x", ["y", "z"], null],
    ["ab", ["cd"], null],
    ["window", ["group_size"], null],
    ["anything", [], null],
  ];
  for (const [word, candidates, wanted] of cases) {
    assert.equal(closest(word, candidates), wanted, word);
  }
});

Deno.test("didYouMean() is empty without a suggestion, didYouMeanOf() lists what is allowed", () => {
  assert.equal(didYouMean("stesp", ["steps"]), '; did you mean "steps"?');
  assert.equal(didYouMean("stesp", ["window"]), "");
  assert.equal(didYouMeanOf("a", ["rank", "alpha"]), "; allowed: rank, alpha");
  assert.equal(
    didYouMeanOf("rnk", ["rank", "alpha"]),
    '; did you mean "rank"? Allowed: rank, alpha',
  );
  assert.equal(didYouMeanOf("a", []), "");
});

Deno.test("enumerate() writes lists as people do", () => {
  assert.deepEqual(
    [[], ["a"], ["a", "b"], ["a", "b", "c"]].map((words) => enumerate(words, "or")),
    [
      "",
      "a",
      "a or b",
      "a, b or c",
    ],
  );
});
