import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensors, type ShardTensor, writeShards } from "./hugging_face.ts";

const TEST_DATA = Deno.env.get("EQUIPOISE_TEST_DATA");

function tensor(name: string, ...values: number[]): ShardTensor {
  return { name, dtype: "F32", shape: [values.length], values: () => Float32Array.from(values) };
}

async function withFolder(use: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function fileNames(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("writeShards() writes one file where everything fits", () =>
  withFolder(async (folder) => {
    await writeShards(folder, [tensor("a", 1, 2), tensor("b", 3)]);
    assert.deepEqual(fileNames(folder), ["model.safetensors"]);
    using tensors = openTensors(folder);
    assert.deepEqual(tensors.names, ["a", "b"]);
    assert.ok(tensors.has("a") && !tensors.has("c"));
    assert.deepEqual(tensors.shape("a"), [2]);
    assert.equal(tensors.dtype("a"), "F32");
    assert.deepEqual([...tensors.readFloats("b")], [3]);
    assert.throws(() => tensors.shape("c"), /no tensor "c" among its 2; the weights do not fit/);
  }));

Deno.test("writeShards() splits by size, in order, and indexes the shards", () =>
  withFolder(async (folder) => {
    const tensors = [tensor("a", 1, 2), tensor("b", 3), tensor("c", 4, 5, 6, 7), tensor("d", 8)];
    await writeShards(folder, tensors, { maxShardBytes: 12 });
    assert.deepEqual(fileNames(folder), [
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
    ]);
    const index = JSON.parse(Deno.readTextFileSync(join(folder, "model.safetensors.index.json")));
    assert.deepEqual(index, {
      metadata: { total_size: 32 },
      weight_map: {
        a: "model-00001-of-00003.safetensors",
        b: "model-00001-of-00003.safetensors",
        c: "model-00002-of-00003.safetensors",
        d: "model-00003-of-00003.safetensors",
      },
    });
    using opened = openTensors(folder);
    assert.deepEqual([...opened.readFloats("c")], [4, 5, 6, 7]);
    assert.deepEqual([...opened.readRows("c", 1, 2)], [5, 6]);
    assert.equal(opened.readBytes("d").length, 4);
  }));

Deno.test("writeShards() refuses a name that occurs twice before writing anything", () =>
  withFolder(async (folder) => {
    const tensors = [tensor("a", 1, 2), tensor("a", 3)];
    await assert.rejects(writeShards(folder, tensors, { maxShardBytes: 8 }), /declared twice/);
    assert.deepEqual(fileNames(folder), []);
  }));

Deno.test("openTensors() refuses folders and indices that are wrong", () =>
  withFolder(async (folder) => {
    assert.throws(() => openTensors(folder), /neither model.safetensors nor/);
    await writeShards(folder, [tensor("a", 1)]);
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

Deno.test({
  name: "openTensors() reads a trained model of others",
  ignore: TEST_DATA === undefined && skipped(),
  fn() {
    using tensors = openTensors(join(TEST_DATA ?? "", "models/tinystories-656k"));
    assert.equal(tensors.names.length, 20);
    assert.deepEqual(tensors.shape("lm_head.weight"), [2048, 128]);
    const rows = tensors.readRows("lm_head.weight", 2047, 1);
    assert.deepEqual(rows, tensors.readFloats("lm_head.weight").slice(-128));
    const norm = tensors.readFloats("model.norm.weight");
    assert.ok(norm.every((value) => value > 0 && value < 100), "a trained norm is moderate");
  },
});

function skipped(): true {
  console.error("skipped: EQUIPOISE_TEST_DATA does not name a folder of test data");
  return true;
}
