import assert from "node:assert/strict";
import { readWordTag } from "./word_tag.ts";

function check(tagged: string, text: string): void {
  assert.equal(readWordTag(tagged), text);
}

Deno.test("readWordTag() joins words and punctuation", () => {
  check("The/at grey/jj cat/nn ,/, tired/vbn ,/, slept/vbd ./.", "The grey cat, tired, slept.\n");
  check("Why/wrb ?/. Who/wps :/: me/ppo ;/. no/rb !/.", "Why? Who: me; no!\n");
  check("one/cd (/( or/cc two/cd )/) --/-- maybe/rb [/( x/nn ]/)", "one (or two) -- maybe [x]\n");
});

Deno.test("readWordTag() turns the corpus's quotes into straight ones at the right side", () => {
  check(
    "He/pps said/vbd :/: ``/`` Go/vb !/. ''/'' and/cc left/vbd ./.",
    'He said: "Go!" and left.\n',
  );
  check("``/`` A/at '/' big/jj '/' fish/nn ''/'' ,/,", "\"A 'big' fish\",\n");
  check("(/( ``/`` so/rb ''/'' )/)", '("so")\n');
  check("'/' a/at\n\n'/' b/nn '/' c/nn", "'a\n'b' c\n"); // an unclosed quote ends with its paragraph
});

Deno.test("readWordTag() takes the word before the last slash", () => {
  check("and/or/cc 1/2/cd km/h/nn don't/do* 'em/ppo", "and/or 1/2 km/h don't 'em\n");
  check("bare /cc word/nn", "bare word\n");
});

Deno.test("readWordTag() drops repeated punctuation", () => {
  check("What/wdt ?/. ?/. Yes/rb ;/. ;/. no/rb !/. !/. ''/'' ''/''", 'What? Yes; no!""\n');
  check("etc./rb ./. ,/, Jr./np ./.", "etc., Jr.\n");
  check("bye/uh bye/uh", "bye bye\n");
});

Deno.test("readWordTag() makes paragraphs of sentences and keeps headlines apart", () => {
  const tagged = "\n\n\tFirst/od sentence/nn ./.\nSecond/od one/pn ./.\r\n\n\n" +
    "A/at-hl headline/nn-hl --/--\nBelow/in it/ppo ./.\n\n\n\tLast/ap ./.\n";
  check(tagged, "First sentence. Second one.\nA headline --\nBelow it.\nLast.\n");
  check("\n \n", "");
});
