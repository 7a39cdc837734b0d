import assert from "node:assert/strict";
import { askPython } from "../../tests/support/ask_python.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { findPython } from "../environment/oracles.ts";
import { PythonFloat, pythonJson } from "./python_json.ts";

const VALUES: readonly unknown[] = [
  {},
  [],
  { empty: {}, none: [], nothing: null, yes: true, no: false },
  { question: '2 + 2 =\t?\r\n"quoted" \\ / \x00\x01\x1f\x7f\u0080\u2028\u2029 é 猫 😀 \ud7ff' },
  { 'key with "quotes"\n': [[[]], [{}], [{ a: [1, [2, [3]]] }]] },
  { constructor: "x", toString: 1, hasOwnProperty: [] },
  [0, -1, 9007199254740991, 123456789012],
  [0.1, -0.5, 1e-4, 1e-5, 1.5e-7, 123456.789, 1.7976931348623157e308, 5e-324, 1e22],
  [3.3333333333333335, 0.30000000000000004, 1e-10, 123456789.12345678],
];

const python = await findPython([]);

testUnless(
  python === null ? "there is no Python" : null,
  "JSON is that of Python, byte by byte",
  async () => {
    const script = "import json, sys\n" +
      "for value in json.load(sys.stdin):\n" +
      "    for indent in (2, None):\n" +
      "        print(json.dumps(json.dumps(value, indent=indent, ensure_ascii=False)))\n";
    const printed = await askPython(python, script, VALUES);
    const lines = printed.trimEnd().split("\n").map((l) => JSON.parse(l));
    const found = VALUES.flatMap((value) => [pythonJson(value, 2), pythonJson(value, null)]);
    assert.deepEqual(found, lines);
  },
);

Deno.test("floats that are whole, and numbers that JSON lacks, are written as Python does", () => {
  const floats = [1, 0, -2, 0.5, NaN, Infinity, -Infinity].map((value) => new PythonFloat(value));
  assert.equal(pythonJson(floats, null), "[1.0, 0.0, -2.0, 0.5, NaN, Infinity, -Infinity]");
  assert.deepEqual(floats.map(String), ["1.0", "0.0", "-2.0", "0.5", "nan", "inf", "-inf"]);
});
