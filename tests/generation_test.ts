// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Generation against programs that keep no cache: a forward pass over the whole text, here and in
 * PyTorch.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Device } from "../kernels/device.ts";
import { openCpu } from "../kernels/cpu/device.ts";
import { ReferenceDevice } from "../kernels/reference/device.ts";
import { openWebgpu } from "../kernels/webgpu/adapter.ts";
import { generateText } from "../mod.ts";
import { writeAdapter } from "../pipeline/adapters/adapter.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { findPython } from "../pipeline/environment/oracles.ts";
import { BatchModel } from "../pipeline/models/batch_model.ts";
import { modelLinears } from "../pipeline/models/architecture.ts";
import { generate, type GenerationOptions } from "../pipeline/models/generate.ts";
import { loadLanguageModel, type ModelSource } from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { rtn } from "../pipeline/quantizers/rtn.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";
import { inFolder, writeTinyModel } from "./support/tiny_model.ts";

const ORACLE = new URL("./oracles/lora_training.py", import.meta.url).pathname;

const TINYSTORIES = join(TEST_DATA, "models/tinystories-656k");

/** "Once upon a time", "Tom and", and a text of one token. */
const PROMPTS = [[1, 80, 147, 201, 282, 57], [1, 84, 300], [1]].map((ids) => Uint32Array.from(ids));

const DEVICES: readonly (() => Promise<Device>)[] = [() => openWebgpu(), () => openCpu()];

const python = await findPython(["torch", "numpy"]);
const noPython = python === null ? "no Python with PyTorch: deno task setup --oracles" : null;

async function continueOn(
  device: Device,
  source: ModelSource,
  prompts: readonly Uint32Array[],
  options: GenerationOptions,
): Promise<number[][]> {
  const model = await loadLanguageModel(device, source);
  const generations = await generate(model, prompts, options);
  return generations.map(({ tokens }) => [...tokens]);
}

/** The likeliest token after every token of a text, by one float64 forward pass. */
async function likeliestAfter(source: ModelSource, text: readonly number[]): Promise<number[]> {
  const device = new ReferenceDevice();
  const model = await loadLanguageModel(device, source);
  const batch = new BatchModel(model, { batchSize: 1, length: text.length });
  device.write(batch.tokens, Uint32Array.from(text));
  device.run(batch.forward);
  const likeliest = [];
  for await (const logits of batch.logits(1)) {
    likeliest.push(logits.indexOf(Math.max(...logits)));
  }
  return likeliest;
}

async function likeliestInPytorch(
  folder: string,
  prompts: readonly Uint32Array[],
  count: number,
): Promise<number[][]> {
  const tokens = prompts.flatMap((prompt) => ["--tokens", prompt.join()]);
  const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: [ORACLE, folder, "generate", ...tokens, "--count", String(count)],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout)).tokens;
}

/** A model folder with its linear layers quantized to 4 bits. */
function quantized(folder: ModelFolder): ModelSource {
  const formats = new Map(
    modelLinears(folder.config).map(({ path }) => [
      path,
      { format: "integer", bits: 4, block_rows: 1, group_size: 32 } as const,
    ]),
  );
  return {
    config: folder.config,
    moduleFormat: (path) => formats.get(path) ?? null,
    floats: (name) => folder.floats(name),
    async weight(linear) {
      const weight = await folder.weight(linear);
      if (weight.format !== "dense") throw new TypeError("the model is not quantized");
      const settings = {
        method: "rtn",
        bits: 4,
        group_size: 32,
        block_rows: 1,
        symmetric: false,
      } as const;
      return rtn.quantize(weight.values, weight.rows, weight.columns, settings, linear.path);
    },
  };
}

for (const form of ["dense", "4 bits"] as const) {
  testUnless(
    NO_TEST_DATA,
    `tinystories-656k, ${form}: generation takes the likeliest tokens of a float64 forward pass`,
    async () => {
      using folder = ModelFolder.open(TINYSTORIES);
      const source = form === "dense" ? folder : quantized(folder);
      const options = { maxNewTokens: 48, batchSize: 2 };
      const texts = await continueOn(new ReferenceDevice(), source, PROMPTS, options);
      for (const open of DEVICES) {
        const device = await open();
        assert.deepEqual(await continueOn(device, source, PROMPTS, options), texts);
        device.close();
      }
      for (const [index, prompt] of PROMPTS.entries()) {
        const text = [...prompt, ...texts[index]!];
        const likeliest = await likeliestAfter(source, text);
        assert.deepEqual(texts[index], likeliest.slice(prompt.length - 1, -1));
      }
    },
  );
}

testUnless(
  noPython ?? NO_TEST_DATA,
  "tinystories-656k: generation takes the tokens that PyTorch finds likeliest",
  async () => {
    const device = await openWebgpu();
    using folder = ModelFolder.open(TINYSTORIES);
    const texts = await continueOn(device, folder, PROMPTS, { maxNewTokens: 32 });
    device.close();
    assert.deepEqual(texts, await likeliestInPytorch(TINYSTORIES, PROMPTS, 32));
  },
);

testUnless(
  noPython,
  "random models of every family: generation takes the tokens that PyTorch finds likeliest",
  async () => {
    const families = {
      llama: { num_attention_heads: 4, num_key_value_heads: 2, num_hidden_layers: 3 },
      qwen2: { model_type: "qwen2", num_attention_heads: 8, tie_word_embeddings: false },
      qwen3: { model_type: "qwen3", head_dim: 12, num_attention_heads: 6, num_key_value_heads: 3 },
    };
    const device = await openWebgpu();
    const parent = await Deno.makeTempDir({ prefix: "equipoise-test-" });
    try {
      for (const [name, config] of Object.entries(families)) {
        const path = join(parent, name);
        await writeTinyModel(path, { config, deviation: 0.3 });
        using folder = ModelFolder.open(path);
        const prompts = [[5, 250, 9], [77]].map((ids) => Uint32Array.from(ids));
        const texts = await continueOn(device, folder, prompts, { maxNewTokens: 32 });
        const expected = await likeliestInPytorch(path, prompts, 32);
        assert.deepEqual(texts, expected, name);
        assert.ok(expected.every((text) => new Set(text).size > 3), `${name} says: ${expected}`);
      }
    } finally {
      await Deno.remove(parent, { recursive: true });
      device.close();
    }
  },
);

testUnless(NO_TEST_DATA, "devices draw the same stories", async () => {
  const options = { maxNewTokens: 40, temperature: 0.9, topK: 100, topP: 0.95, seed: 3 };
  using folder = ModelFolder.open(TINYSTORIES);
  const prompts = [...PROMPTS, ...PROMPTS];
  const expected = await continueOn(new ReferenceDevice(), folder, prompts, options);
  assert.notDeepEqual(expected[0], expected[3], "draws of one prompt differ");
  for (const open of DEVICES) {
    const device = await open();
    assert.deepEqual(
      await continueOn(device, folder, prompts, { ...options, batchSize: 4 }),
      expected,
    );
    device.close();
  }
});

Deno.test("a script continues texts with a model folder, and with an adapter on it", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "tiny");
    const adapter = join(folder, "adapter");
    await Deno.mkdir(adapter);
    const moved = new Float32Array(32).fill(3);
    await writeAdapter(adapter, {
      description: { form: "lora", pooling: "average", base: "", peft: null },
      modules: new Map([["model.layers.0.self_attn.o_proj", {
        shape: { a: [1, 32], b: [32, 1], pool: 1, repeat: 1, rank: 1, scale: 1 },
        a: moved,
        b: moved.map((_, index) => Math.sin(index)),
      }]]),
    });
    const texts = async (options: { adapter?: string }) => {
      let text = "";
      const settings = {
        ...options,
        device: "reference",
        maxNewTokens: 20,
        stopTokens: [],
      } as const;
      for await (const piece of generateText(path, ["the cat sat"], settings)) text += piece.text;
      return text;
    };
    using source = ModelFolder.open(path);
    const tokenizer = Tokenizer.open(path);
    const prompt = tokenizer.encode("the cat sat");
    const [expected] = await continueOn(new ReferenceDevice(), source, [prompt], {
      maxNewTokens: 20,
    });
    const whole = tokenizer.decode([...prompt, ...expected!], { skipSpecialTokens: true });
    assert.equal("the cat sat" + await texts({}), whole);
    assert.notEqual(await texts({ adapter }), await texts({}));
  });
});
