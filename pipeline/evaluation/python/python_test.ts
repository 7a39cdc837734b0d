import assert from "node:assert/strict";
import { findPython } from "../../environment/oracles.ts";
import { askPython } from "../../../tests/support/ask_python.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import { literal, LiteralError, repr } from "./literal.ts";
import { compile, findAll, PatternError } from "./regular_expression.ts";
import {
  capitalize,
  countPieces,
  endsWithSpace,
  leftStrip,
  length,
  rightStrip,
  splitWhiteSpace,
  startsWithSpace,
  strip,
} from "./text.ts";

const TEXTS = [
  "",
  " ",
  "plain",
  "  two  words \n",
  "\u001c\u001fx\u0085",
  "\ufeffmark\ufeff",
  "\u00a0no-break\u3000",
  "the NASA Team",
  "ÉCOLE straße",
  "ßeta",
  "naïve 🙂 text",
  "it's",
  'say "it\'s"',
  "tab\tline\nreturn\rnull\0bell\x07\x7f\u200b\u2028\u{10ffff}",
  "back\\slash",
  "٣ is three, 3 is three; $1,234.50.",
  "18.\n",
  "18.\n\n#### 18. #### 19",
  "a\u2028b",
  "_ [title] x [header] y\n]",
];

const PATTERNS = [
  "#### (\\-?[0-9\\.\\,]+)",
  "(-?[$0-9.,]{2,})|(-?[0-9]+)",
  "The answer is (\\-?[0-9\\.\\,]+).",
  "(?s).*#### ",
  "\\.$",
  "\\$",
  ",",
  "-?\\d+\\.?\\d*",
  "\\[.*?\\]",
  "\\s+",
  "[^\\s\\d]+",
  "\\bi[st]\\b",
  "(?i)NASA|team",
  "(?m)^\\w+$",
  "^.",
  ".$",
  "(?P<first>\\w)(?P=first)",
  "x{2}|{x}|s{1,}|t{,2}",
  "[]a-c]",
  "[\\w\\-.]+",
  "\\Athe|\\Z",
  "(?:A|B|C|D|E)",
  "\\(([A-E])\\)?",
  "\\u00e9|\\xe9|\\x41",
  "\\D+",
  "(?<=\\$)\\d",
  "a|b|",
];

const LITERALS = [
  "['a', \"b\"]",
  "[1, -2.5, True, None]",
  "('x',)",
  "('x')",
  "'a' 'b'",
  "1, 2",
  "{'k': [1]}",
  "'\\x41\\u00e9\\n\\q\\101'",
  "r'\\n'",
  "[]",
  "()",
  "'''a\nb'''",
  " 5",
];

const SCRIPT = `
import ast, json, re, sys
texts, patterns, literals = json.load(sys.stdin)
def methods(t):
    return [t.strip(), t.lstrip(), t.rstrip(), t.strip("t x"), t.lstrip("t x"), t.rstrip("t x"), t.capitalize(), t.split(), len(t), len(re.split(r"\\s+", t)), t[:1].isspace(), t[-1:].isspace(), repr(t)]
out = [[methods(t) for t in texts],
  [[[re.findall(p, t), re.sub(p, "|", t)] for t in texts] for p in patterns],
  [ast.literal_eval(l) for l in literals]]
print(json.dumps(out))
`;

const python = await findPython([]);
testUnless(python === null ? "no python3" : null, "CPython says the same", async () => {
  const printed = await askPython(python, SCRIPT, [TEXTS, PATTERNS, LITERALS]);
  const [methods, matches, literals] = JSON.parse(printed);
  for (const [index, text] of TEXTS.entries()) {
    const found = [
      strip(text),
      leftStrip(text),
      rightStrip(text),
      strip(text, "t x"),
      leftStrip(text, "t x"),
      rightStrip(text, "t x"),
      capitalize(text),
      splitWhiteSpace(text),
      length(text),
      countPieces(text),
      startsWithSpace(text),
      endsWithSpace(text),
      repr(text),
    ];
    assert.deepEqual(found, methods[index], JSON.stringify(text));
  }
  for (const [p, pattern] of PATTERNS.entries()) {
    for (const [t, text] of TEXTS.entries()) {
      const expression = compile(pattern);
      assert.deepEqual(
        [findAll(expression, text), text.replace(expression, "|")],
        matches[p][t],
        `${pattern} in ${JSON.stringify(text)}`,
      );
    }
  }
  for (const [index, source] of LITERALS.entries()) {
    assert.deepEqual(literal(source), literals[index], source);
  }
});

Deno.test("a value written by repr is read again", () => {
  for (const value of [...TEXTS, [...TEXTS], { a: [1, true, null] }, -0.5, 1e300, 1e-7, 0.1]) {
    assert.deepEqual(literal(repr(value)), value);
  }
});

Deno.test("numbers as Python writes them", () => {
  assert.deepEqual(
    [3, -2.5, 1e-7, 1e16, 1.5e22, 0.0001, NaN, -Infinity, -0].map(repr),
    ["3", "-2.5", "1e-07", "1e+16", "1.5e+22", "0.0001", "nan", "-inf", "-0.0"],
  );
});

Deno.test("what is not a literal, and what has no counterpart, is refused", () => {
  for (const source of ["", "choices", "[1", "['a' 1]", "__import__('os')", "'a", "1 2"]) {
    assert.throws(() => literal(source), LiteralError, source);
  }
  for (const pattern of ["(?x)a", "[", "(", "(?>a)", "\\q", "(?(1)a|b)", "a++"]) {
    assert.throws(() => compile(pattern), PatternError, pattern);
  }
});
