import assert from "node:assert/strict";
import { join } from "node:path";
import { readJson, readJsonOrNull, readTextOrNull, statOrNull } from "./files.ts";

function withFile(text: string, use: (file: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    const file = join(folder, "config.json");
    Deno.writeTextFileSync(file, text);
    use(file);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("what is not there is null, also below a file", () =>
  withFile("{}", (file) => {
    for (const missing of [`${file}.bak`, join(file, "deeper")]) {
      assert.equal(statOrNull(missing), null);
      assert.equal(readTextOrNull(missing), null);
      assert.equal(readJsonOrNull(missing), null);
    }
    assert.equal(statOrNull(file)?.isFile, true);
    assert.equal(readTextOrNull(file), "{}");
  }));

Deno.test("what cannot be read is an error, not null", () =>
  withFile("{}", (file) => {
    assert.throws(() => readTextOrNull(join(file, "..")), /directory/i);
  }));

Deno.test("readJson() takes objects and names what is wrong with everything else", () => {
  withFile('{"a": [1]}', (file) => {
    assert.deepEqual(readJson(file, "a model folder"), { a: [1] });
    assert.throws(() => readJson(`${file}.bak`, "a model folder"), {
      name: "UserError",
      message: `${file}.bak is missing; a model folder needs it`,
    });
  });
  for (const text of ["{", ""]) {
    withFile(text, (file) => {
      assert.throws(() => readJson(file, "x"), { name: "UserError", message: /: not JSON \(/ });
    });
  }
  for (const text of ["[1]", "null", "3"]) {
    withFile(text, (file) => {
      assert.throws(() => readJson(file, "x"), {
        name: "UserError",
        message: `${file}: wanted a JSON object`,
      });
    });
  }
});
