import assert from "node:assert/strict";
import { AddedTokens } from "./added_tokens.ts";

Deno.test("AddedTokens finds the leftmost token, and of those the longest", () => {
  const added = new AddedTokens([
    { id: 1, content: "ab" },
    { id: 2, content: "abc" },
    { id: 3, content: "bcd" },
  ]);
  assert.deepEqual(added.split("xabcdab"), ["x", 2, "d", 1]);
  assert.deepEqual(added.split("bcdbc"), [3, "bc"]);
  assert.deepEqual(added.split(""), []);
});

Deno.test("AddedTokens takes spaces away and minds words", () => {
  const added = new AddedTokens([
    { id: 1, content: "<l>", lstrip: true },
    { id: 2, content: "<r>", rstrip: true },
    { id: 3, content: "cat", single_word: true },
  ]);
  assert.deepEqual(added.split("a \n<l> b"), ["a", 1, " b"]);
  assert.deepEqual(added.split("a <r>\u0085 b"), ["a ", 2, "b"]);
  assert.deepEqual(added.split("<r> <l>"), [2, 1]);
  assert.deepEqual(added.split("cat cats \u{1d400}cat cat\u0301 -cat-"), [
    3,
    " cats \u{1d400}cat cat\u0301 -",
    3,
    "-",
  ]);
});
