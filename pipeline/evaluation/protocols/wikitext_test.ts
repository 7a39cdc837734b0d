import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { detokenize } from "../tasks/functions/wikitext.ts";
import { pageSize, splitPages } from "./wikitext.ts";

Deno.test("each step of the detokenizer", () => {
  const cases: [page: string, text: string][] = [
    ["the players 's '", "the players's'"],
    ["10 @-@ year @,@ 1 @.@ 5", "10-year,1.5"],
    ["a : b ; c . d ! e ? f , g", "a: b; c. d! e? f, g"],
    ["( a ) [ b ] { c } ( d", "(a) [b] {c} ( d"],
    ['" quoted " and " more "', '"quoted" and "more"'],
    [
      "= = Two = = and = = = Three = = = and = = = = Four",
      "== Two == and === Three === and ==== Four",
    ],
    ["40 \u00b0 N \n", "40\u00b0N\n"],
    ["a \n b\n c", "a\nb\nc"],
    ["page N of", "page 1 of"],
    ["it 's", "it's"],
    ["( a \n b )", "(a\nb)"],
    // A price is no reference to a group.
    ["( $1 )", "($1)"],
  ];
  for (const [page, text] of cases) assert.equal(detokenize(page), text);
});

Deno.test("words and bytes are counted on the page as it is", () => {
  assert.deepEqual(pageSize(" \n = Robert = \n"), { words: 5, bytes: 15 });
  assert.deepEqual(pageSize("\u00e9t\u00e9\u00a0x"), { words: 2, bytes: 8 });
});

Deno.test("pages begin at headings of the first level only", () => {
  const text = " \n = A = \n x \n = = B = = \n y \n = = = C = = = \n = D ( d ) = \n z \n";
  assert.deepEqual(splitPages(text), [
    " = A = \n x \n = = B = = \n y \n = = = C = = = ",
    " = D ( d ) = \n z \n",
  ]);
  assert.deepEqual(splitPages(" \n \n"), []);
});

testUnless(
  NO_TEST_DATA,
  "the test split of WikiText-2: 62 pages, equal to those of Python",
  async () => {
    const text = await Deno.readTextFile(join(TEST_DATA, "text/wikitext-2-raw/wiki.test.raw"));
    const pages = splitPages(text);
    assert.equal(pages.length, 62);
    assert(pages[0]?.startsWith(" = Robert Boulter = \n"));
    const sizes = pages.map(pageSize);
    assert.equal(sizes.reduce((sum, { words }) => sum + words, 0), 241_335);
    assert.equal(sizes.reduce((sum, { bytes }) => sum + bytes, 0), 1_290_527);
    assert.deepEqual(sizes.slice(0, 3), [
      { words: 1093, bytes: 5667 },
      { words: 4751, bytes: 24540 },
      { words: 2434, bytes: 12300 },
    ]);
    // Of the texts that the functions of the harness and of its data set's loader make of the file,
    // run by CPython 3.11 and joined by U+0000.
    const digest = (texts: string[]) => createHash("sha256").update(texts.join("\0")).digest("hex");
    assert.equal(
      digest(pages),
      "d0b16b3ea2df933c8a7c98e8b39093f025b25aa357d03b598e6532b2ec27f78c",
    );
    assert.equal(
      digest(pages.map(detokenize)),
      "b0ae50e166add20959a5406d9b3c99fe1f23819ec0a10149047149434fb85d81",
    );
  },
);
