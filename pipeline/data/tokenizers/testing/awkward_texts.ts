/**
 * Texts that tokenizers go wrong on.
 *
 * @module
 */

import { RandomStream } from "../../../../kernels/random.ts";

/** Characters of every length in UTF-8, of many scripts, and spaces of all kinds. */
const CHARACTERS = [
  ..."abcdeABCDEstory  ..,!?'\"0123456789",
  ..."\t\n\r\u0000\u0001\u0085\u00a0\u00ad\u200b\u200d\u2003\u2028\u3000\u2581\ufeff\ufffd",
  ..."\u00df\u00e9\u00f8\u0130\u0131\u03a3\u03c2\u1e9e\u0301\u0308\u0327\u20dd",
  ..."\u05d0\u05b8\u0639\u0651\u0915\u094d\u0937\u0e01\u0e33\u1112\u1161\u11ab\ud55c\u30ac\uff76\uff9e",
  ..."\u4e2d\u6587\u{20000}\u{2f800}\ufb01\u2460\u00bd\u2167\u212b\uff21\uff5e\u301c\u2026",
  ..."\u{1f999}\u{1f468}\u{1f3fd}\u{1f1e9}\u{1f1ea}\u2764\ufe0f\u{1d400}\u{e0041}\u{10ffff}",
];

/** Every part of a text that a model may know whole. */
const PARTS = [
  "Once upon a time",
  " there was",
  " a little",
  " fox",
  " who",
  " lived",
  "  ",
  "e\u0301",
  "<s>",
  "</s>",
  "<unk>",
  "<sep>",
  "<0x41>",
  "...",
  "\r\n",
];

/** Texts with something awkward in each. */
export const AWKWARD_TEXTS: readonly string[] = [
  "",
  " ",
  "   ",
  "\u2581",
  " \u2581 a",
  "a",
  " a ",
  "  a  b  ",
  "\ta\nb\r\nc",
  "\u3000a\u00a0b\u200bc",
  "Once upon a time there was a little fox.",
  "\ufeffOnce\ufeff upon",
  "caf\u00e9 cafe\u0301 \ufb01nd \uff21\uff22\uff23 \u2460\u00bd",
  "\uff76\uff9e \u30ab\u3099 \u1112\u1161\u11ab \ud55c",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u{1f1e9}\u{1f1ea} \u2764\ufe0f \u{1f3fd}",
  "<s>a</s> <unk> <sep>b<sep> <0x41>",
  "a\u0000b\u0001c",
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/** Random texts of awkward characters and parts. */
export function randomTexts(count: number, seed: number): string[] {
  const random = new RandomStream(seed, "awkward texts");
  let draws = 0;
  const pick = (list: readonly string[]) =>
    list[Math.floor(random.uniform(draws++) * list.length)] ?? "";
  return Array.from({ length: count }, () => {
    const length = Math.floor(random.uniform(draws++) * 24);
    const parts = Array.from(
      { length },
      () => pick(random.uniform(draws++) < 0.3 ? PARTS : CHARACTERS),
    );
    return parts.join("");
  });
}

const WORDS =
  "Once The One upon little big old fox bear girl boy lived played jumped walked in by the " +
  "near with r\u00e9gent stra\u00dfe caf\u00e9 \u4e2d\u6587 \u5bb6 \u043c\u044b\u0448\u044c \u0434\u043e\u043c times... yes! no?";

const SYLLABLES = "ba no ti ker lum sa re mi st ing ed er on ly un ge \u00f6l \u043d\u0430";

/** Sentences to train small vocabularies on: known words, and others made of syllables. */
export function trainingSentences(count: number, seed: number): string[] {
  const random = new RandomStream(seed, "sentences");
  let draws = 0;
  const pick = (words: string) => {
    const list = words.split(" ");
    return list[Math.floor(random.uniform(draws++) * list.length)] ?? "";
  };
  const times = <T>(most: number, make: () => T) =>
    Array.from({ length: 1 + Math.floor(random.uniform(draws++) * most) }, make);
  const word = () =>
    random.uniform(draws++) < 0.5 ? pick(WORDS) : times(4, () => pick(SYLLABLES)).join("");
  return Array.from({ length: count }, (_, index) => `${times(9, word).join(" ")} ${index}.`);
}
