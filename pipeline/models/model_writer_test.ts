import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensors } from "../formats/hugging_face.ts";
import { ModelWriter } from "./model_writer.ts";
import type { NamedTensor } from "./quantized_tensors.ts";

function tensor(name: string, ...values: number[]): NamedTensor {
  return { name, dtype: "F32", shape: [values.length], values: Float32Array.from(values) };
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
    const writer = new ModelWriter(folder);
    for (const part of [tensor("a", 1, 2), tensor("b", 3)]) writer.add(part);
    await writer.finish({ model_type: "llama" });
    assert.deepEqual(fileNames(folder), ["config.json", "model.safetensors"]);
    using tensors = openTensors(folder);
    assert.deepEqual(tensors.names, ["a", "b"]);
    assert.deepEqual([...tensors.readFloats("b")], [3]);
  }));

Deno.test("ModelWriter splits by size, in order, and indexes the shards", () =>
  withFolder(async (folder) => {
    const writer = new ModelWriter(folder, { shardBytes: 12 });
    const tensors = [tensor("a", 1, 2), tensor("b", 3), tensor("c", 4, 5, 6, 7), tensor("d", 8)];
    for (const part of tensors) writer.add(part);
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
    const writer = new ModelWriter(folder, { shardBytes: 8 });
    for (const name of ["a", "b", "c"]) writer.add({ ...tensor(name, 1, 2), dtype: "BF16" });
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

Deno.test("ModelWriter refuses a name that occurs twice", () =>
  withFolder((folder) => {
    const writer = new ModelWriter(folder);
    writer.add(tensor("a", 1, 2));
    assert.throws(() => writer.add(tensor("a", 3)), /tensor "a" is declared twice/);
    assert.deepEqual(fileNames(folder), []);
  }));

Deno.test("ModelWriter copies the tokenizer of the model it comes from", () =>
  withFolder(async (folder) => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    for (const path of [from, to]) Deno.mkdirSync(path);
    Deno.writeTextFileSync(join(from, "tokenizer.json"), "{}");
    Deno.writeTextFileSync(join(from, "notes.txt"), "x");
    const writer = new ModelWriter(to);
    writer.add(tensor("a", 1));
    await writer.finish({}, from);
    assert.deepEqual(fileNames(to), ["config.json", "model.safetensors", "tokenizer.json"]);
  }));
