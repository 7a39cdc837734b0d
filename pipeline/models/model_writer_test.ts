import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensors } from "../formats/hugging_face.ts";
import { ModelWriter } from "./model_writer.ts";
import type { NamedTensor } from "./quantized_tensors.ts";

function tensor(name: string, ...values: number[]): NamedTensor {
  return { name, dtype: "F32", shape: [values.length], values: Float32Array.from(values) };
}

function written(
  folder: string,
  tensors: readonly NamedTensor[],
  shardBytes?: number,
): ModelWriter {
  const options = shardBytes === undefined ? {} : { shardBytes };
  const writer = new ModelWriter(folder, tensors, options);
  for (const { name, values } of tensors) writer.write(name, values);
  return writer;
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

function readIndex(folder: string): unknown {
  return JSON.parse(Deno.readTextFileSync(join(folder, "model.safetensors.index.json")));
}

Deno.test("ModelWriter writes one file where everything fits", () =>
  withFolder(async (folder) => {
    using writer = written(folder, [tensor("a", 1, 2), tensor("b", 3)]);
    await writer.finish({ model_type: "llama" });
    assert.deepEqual(fileNames(folder), ["config.json", "model.safetensors"]);
    using tensors = openTensors(folder);
    assert.deepEqual(tensors.names, ["a", "b"]);
    assert.deepEqual([...tensors.readFloats("b")], [3]);
  }));

Deno.test("ModelWriter splits by size, in order, and indexes the shards", () =>
  withFolder(async (folder) => {
    const tensors = [tensor("a", 1, 2), tensor("b", 3), tensor("c", 4, 5, 6, 7), tensor("d", 8)];
    using writer = written(folder, tensors, 12);
    await writer.finish({});
    assert.deepEqual(fileNames(folder), [
      "config.json",
      "model-00001-of-00003.safetensors",
      "model-00002-of-00003.safetensors",
      "model-00003-of-00003.safetensors",
      "model.safetensors.index.json",
    ]);
    assert.deepEqual(readIndex(folder), {
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
    assert.equal(opened.readBytes("d").length, 4);
  }));

Deno.test("ModelWriter counts bytes as they are stored", () =>
  withFolder(async (folder) => {
    const tensors = ["a", "b", "c"].map((name) => ({
      ...tensor(name, 1, 2),
      dtype: "BF16" as const,
    }));
    using writer = written(folder, tensors, 8);
    await writer.finish({});
    assert.deepEqual(readIndex(folder), {
      metadata: { total_size: 12 },
      weight_map: {
        a: "model-00001-of-00002.safetensors",
        b: "model-00001-of-00002.safetensors",
        c: "model-00002-of-00002.safetensors",
      },
    });
  }));

Deno.test("ModelWriter refuses what was declared twice, not declared or not written", () =>
  withFolder(async (folder) => {
    assert.throws(
      () => new ModelWriter(folder, [tensor("a", 1, 2), tensor("a", 3)]),
      /tensor "a" is declared twice/,
    );
    using writer = new ModelWriter(folder, [tensor("a", 1, 2), tensor("b", 3)]);
    writer.write("b", Float32Array.of(3));
    assert.throws(() => writer.write("c", Float32Array.of(3)), /tensor "c" is not declared/);
    await assert.rejects(writer.finish({}), /tensor "a" was not written/);
    assert.deepEqual(fileNames(folder), []);
  }));

Deno.test("a ModelWriter that is left leaves nothing unfinished", () =>
  withFolder((folder) => {
    {
      using writer = new ModelWriter(folder, [tensor("a", 1, 2), tensor("b", 3)]);
      writer.write("a", Float32Array.of(1, 2));
      assert.equal(fileNames(folder).length, 1);
    }
    assert.deepEqual(fileNames(folder), []);
  }));

Deno.test("ModelWriter copies the bytes of tensors", () =>
  withFolder(async (folder) => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    for (const path of [from, to]) Deno.mkdirSync(path);
    const large: NamedTensor = {
      name: "large",
      dtype: "F16",
      shape: [3, 1 << 20],
      values: Uint16Array.from({ length: 3 << 20 }, (_, index) => Math.imul(index, 40503)) as never,
    };
    await written(from, [large]).finish({});
    using source = openTensors(from);
    using writer = new ModelWriter(to, [{ ...large, name: "copied" }]);
    writer.copy("copied", source, "large");
    await writer.finish({});
    using copied = openTensors(to);
    assert.deepEqual(copied.readBytes("copied"), source.readBytes("large"));
  }));

Deno.test("ModelWriter copies the tokenizer of the model it comes from", () =>
  withFolder(async (folder) => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    for (const path of [from, to]) Deno.mkdirSync(path);
    Deno.writeTextFileSync(join(from, "tokenizer.json"), "{}");
    Deno.writeTextFileSync(join(from, "notes.txt"), "x");
    await written(to, [tensor("a", 1)]).finish({}, from);
    assert.deepEqual(fileNames(to), ["config.json", "model.safetensors", "tokenizer.json"]);
  }));

Deno.test("ModelWriter copies tokenizers of every kind, also from a folder below", () =>
  withFolder(async (folder) => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    for (const path of [from, to, join(from, "original")]) Deno.mkdirSync(path);
    const files = ["merges.txt", "original/tokenizer.model", "qwen.tiktoken", "vocab.json"];
    for (const file of files) Deno.writeTextFileSync(join(from, file), file);
    await written(to, [tensor("a", 1)]).finish({}, from);
    for (const file of files) assert.equal(Deno.readTextFileSync(join(to, file)), file);
  }));
