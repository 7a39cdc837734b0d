import assert from "node:assert/strict";
import { parseHubReference } from "./reference.ts";
import { selectFiles } from "./select.ts";

/** Paths that are picked out of others. */
async function pick(
  reference: string,
  paths: readonly string[],
  index: Record<string, string> = {},
): Promise<readonly string[] | undefined> {
  const files = paths.map((path) => ({ path }));
  const read = () => Promise.resolve(JSON.stringify({ weight_map: index }));
  return (await selectFiles(parseHubReference(reference), files, read))
    ?.files.map(({ path }) => path);
}

Deno.test("of a model, what the index names, and no second copy of the weights", async () => {
  // The layout of Mistral's and Meta's repositories.
  const wanted = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tekken.json",
    "tokenizer.model",
    "tokenizer.model.v3",
    "vocab.txt",
    "merges.txt",
    "qwen.tiktoken",
  ];
  const others = [
    "LICENSE",
    "README.md",
    "consolidated.safetensors",
    "flax_model.msgpack",
    "model.fp16.safetensors",
    "model-q4.gguf",
    "onnx/config.json",
    "original/tokenizer.model",
    "pytorch_model-00001-of-00002.bin",
    "tf_model.h5",
    "training_args.bin",
    "model-00003-of-00003.safetensors",
  ];
  const picked = await pick("hf:org/name", [...wanted, ...others], {
    "a.weight": "model-00001-of-00002.safetensors",
    "b.weight": "model-00002-of-00002.safetensors",
    "c.weight": "model-00001-of-00002.safetensors",
  });
  assert.deepEqual(picked, wanted.filter((name) => name !== "tokenizer.model.v3"));
});

Deno.test("of a model without an index, the one file; else all", async () => {
  assert.deepEqual(
    await pick("hf:o/n", ["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"]),
    ["model.safetensors"],
  );
  assert.deepEqual(
    await pick("hf:o/n", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"]),
    ["adapter_config.json", "adapter_model.safetensors"],
  );
  assert.deepEqual(
    await pick("hf:o/n", ["gptq_model-4bit-128g.safetensors", "quantize_config.json"]),
    ["gptq_model-4bit-128g.safetensors", "quantize_config.json"],
  );
  assert.deepEqual(await pick("hf:o/n", ["tokenizer.json"]), ["tokenizer.json"]);
  await assert.rejects(
    pick("hf:o/n", ["other/model.safetensors", "pytorch_model.bin"]),
    /has its weights only as pytorch_model\.bin/,
  );
});

Deno.test("of a folder of a model, the model in it", async () => {
  const paths = ["config.json", "model.safetensors", "sub/config.json", "sub/model.safetensors"];
  assert.deepEqual(await pick("hf:o/n/sub", [...paths, "sub/x.bin"]), paths.slice(2));
  assert.equal(await pick("hf:o/n/other", paths), undefined);
});

Deno.test("patterns match as those of local files do", async () => {
  const paths = ["a.json", "b.json", "sub/a.json", "sub/deep/a.json"];
  assert.deepEqual(await pick("hf:o/n/*.json", paths), ["a.json", "b.json"]);
  assert.deepEqual(await pick("hf:o/n/[a]*", paths), ["a.json"]);
  assert.deepEqual(await pick("hf:o/n/**/a.json", paths), [
    "a.json",
    "sub/a.json",
    "sub/deep/a.json",
  ]);
  assert.deepEqual(await pick("hf:o/n/{a,b}.json", paths), ["a.json", "b.json"]);
});
