import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensors } from "./hugging_face.ts";
import { SafetensorsWriter } from "./safetensors.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";

/** Writes vectors of f32. */
function write(path: string, vectors: Readonly<Record<string, readonly number[]>>): void {
  const tensors = Object.entries(vectors);
  using writer = SafetensorsWriter.create(
    path,
    tensors.map(([name, { length }]) => ({ name, dtype: "F32", shape: [length] })),
  );
  for (const [name, values] of tensors) writer.write(name, Float32Array.from(values));
  writer.finish();
}

function withFolder(use: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("openTensors() reads a folder of one file", () =>
  withFolder((folder) => {
    write(join(folder, "model.safetensors"), { a: [1, 2], b: [3] });
    using tensors = openTensors(folder);
    assert.deepEqual(tensors.names, ["a", "b"]);
    assert.ok(tensors.has("a") && !tensors.has("c"));
    assert.deepEqual(tensors.shape("a"), [2]);
    assert.equal(tensors.dtype("a"), "F32");
    assert.deepEqual([...tensors.readFloats("b")], [3]);
    assert.throws(() => tensors.shape("c"), /no tensor "c" among its 2; the weights do not fit/);
  }));

Deno.test("openTensors() reads shards by their index", () =>
  withFolder((folder) => {
    write(join(folder, "one.safetensors"), { a: [1, 2], b: [3] });
    write(join(folder, "two.safetensors"), { c: [4, 5, 6, 7], hidden: [9] });
    Deno.writeTextFileSync(
      join(folder, "model.safetensors.index.json"),
      JSON.stringify({
        weight_map: { c: "two.safetensors", a: "one.safetensors", b: "one.safetensors" },
      }),
    );
    using opened = openTensors(folder);
    assert.deepEqual(opened.names, ["c", "a", "b"]);
    assert.deepEqual([...opened.readFloats("c")], [4, 5, 6, 7]);
    assert.deepEqual([...opened.readRows("c", 1, 2)], [5, 6]);
    assert.equal(opened.readBytes("b").length, 4);
    assert.throws(() => opened.readFloats("hidden"), /no tensor "hidden" among its 3/);
  }));

Deno.test("openTensors() refuses folders and indices that are wrong", () =>
  withFolder((folder) => {
    assert.throws(() => openTensors(folder), /neither model.safetensors nor/);
    write(join(folder, "model.safetensors"), { a: [1] });
    const cases: [string, RegExp][] = [
      ["{", /not JSON/],
      ["{}", /wanted \{"weight_map"/],
      ['{"weight_map": {"a": 1}}', /wanted \{"weight_map"/],
      ['{"weight_map": {"a": "lost.safetensors"}}', /names lost.safetensors for tensor "a"/],
      ['{"weight_map": {"a": "../model.safetensors"}}', /wanted the name of a file in the folder/],
      ['{"weight_map": {"b": "model.safetensors"}}', /holds tensor "b", but it does not/],
    ];
    for (const [index, message] of cases) {
      Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), index);
      assert.throws(() => openTensors(folder), message);
    }
  }));

testUnless(NO_TEST_DATA, "openTensors() reads a trained model of others", () => {
  using tensors = openTensors(join(TEST_DATA, "models/tinystories-656k"));
  assert.equal(tensors.names.length, 20);
  assert.deepEqual(tensors.shape("lm_head.weight"), [2048, 128]);
  const rows = tensors.readRows("lm_head.weight", 2047, 1);
  assert.deepEqual(rows, tensors.readFloats("lm_head.weight").slice(-128));
  const norm = tensors.readFloats("model.norm.weight");
  assert.ok(norm.every((value) => value > 0 && value < 100), "a trained norm is moderate");
});
