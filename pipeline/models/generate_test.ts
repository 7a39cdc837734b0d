// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { UserError } from "../errors.ts";
import { BatchModel } from "./batch_model.ts";
import { CachedModel } from "./cached_model.ts";
import { parseConfig } from "./config.ts";
import { generate, type GenerationOptions } from "./generate.ts";
import { type AdapterPlacement, type LanguageModel, loadLanguageModel } from "./language_model.ts";
import { RandomModel } from "./random_model.ts";

const VOCABULARY = 41;
const SMALL = {
  hidden_size: 16,
  intermediate_size: 12,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: VOCABULARY,
  max_position_embeddings: 400,
};

/** What sets the families apart: windows, biases, norms, rotations, shared matrices. */
const ARCHITECTURES: Record<string, Record<string, unknown>> = {
  llama: { ...SMALL, model_type: "llama" },
  "llama, tied, interleaved and partial rotation": {
    ...SMALL,
    head_dim: 8,
    tie_word_embeddings: true,
    rope_interleave: true,
    partial_rotary_factor: 0.5,
  },
  "mistral with a window": { ...SMALL, model_type: "mistral", sliding_window: 5 },
  "qwen2 with biases": { ...SMALL, model_type: "qwen2", use_sliding_window: false },
  "qwen3 with q/k norms": { ...SMALL, model_type: "qwen3", head_dim: 8 },
};

const PROMPTS = [[3], [5, 1, 40, 8, 2], [7, 7, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
  .map((tokens) => Uint32Array.from(tokens));

/** Adapters with values of their own on the blocks after the first, with ranks that differ. */
const adapt: (device: Device) => AdapterPlacement =
  (device) => ({ path, rows, columns, layer, name }, parameters) => {
    if (layer === 0 || name === "k_proj") return null;
    const rank = layer + 2;
    const pool = columns % 4 === 0 && layer === 1 ? 4 : 1;
    const a = parameters.place(`${path}.a`, [rank, columns / pool]);
    const b = parameters.place(`${path}.b`, [rows / 2, rank]);
    for (const { value } of [a, b]) {
      const random = new RandomStream(9, value.label);
      device.write(value, Float64Array.from({ length: value.size }, (_, i) => random.normal(i)));
    }
    return { a, b, rank, pool, repeat: 2, scale: 0.3 };
  };

async function load(name: string, device: Device = new ReferenceDevice()): Promise<LanguageModel> {
  const source = new RandomModel(parseConfig(ARCHITECTURES[name]!, name), 3, 0.5);
  return await loadLanguageModel(device, source, undefined, adapt(device));
}

/** The logits after a text by a forward pass over all of it. */
async function fullLogits(model: LanguageModel, tokens: readonly number[]): Promise<number[]> {
  const batch = new BatchModel(model, { batchSize: 1, length: tokens.length });
  model.device.write(batch.tokens, Uint32Array.from(tokens));
  model.device.run(batch.forward);
  let last: number[] = [];
  for await (const logits of batch.logits(1)) last = [...logits];
  batch.release();
  return last;
}

function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

for (const name of Object.keys(ARCHITECTURES)) {
  Deno.test(`generate takes the likeliest token of a forward pass over the text: ${name}`, async () => {
    const model = await load(name);
    const found = await generate(model, PROMPTS, { maxNewTokens: 9, batchSize: 3, readEvery: 4 });
    for (const [index, prompt] of PROMPTS.entries()) {
      const text = [...prompt];
      for (let step = 0; step < 9; step++) {
        const logits = await fullLogits(model, text);
        const token = argmax(logits);
        assert.equal(found[index]!.tokens[step], token, `prompt ${index}, token ${step}`);
        const total = logits.reduce((sum, logit) => sum + Math.exp(logit - logits[token]!), 0);
        const error = found[index]!.logProbabilities[step]! + Math.log(total);
        assert.ok(Math.abs(error) < 1e-9, `log-probability off by ${error}`);
        text.push(token);
      }
      assert.equal(found[index]!.end, "length");
    }
  });
}

Deno.test("a prompt put into the cache in pieces gives the logits of the whole", async () => {
  const model = await load("mistral with a window");
  const random = new RandomStream(1, "prompt");
  const tokens = Uint32Array.from(
    { length: 300 },
    (_, i) => Math.floor(VOCABULARY * random.uniform(i)),
  );
  const expected = await fullLogits(model, [...tokens]);
  for (const pieces of [[299], [1, 298], [64, 200, 35], [150, 149]]) {
    const cached = new CachedModel(model, { batchSize: 2, capacity: 300 });
    let position = 0;
    for (const length of pieces) {
      cached.prefill(1, tokens.subarray(position, position + length), position);
      position += length;
    }
    model.device.write(cached.tokens, Uint32Array.of(0, tokens[299]!));
    model.device.write(cached.positions, Uint32Array.of(0, 299));
    cached.step();
    const logits = await model.device.readFloats(cached.logits);
    expected.forEach((value, v) =>
      assert.ok(Math.abs(logits[VOCABULARY + v]! - value) < 1e-9, `pieces of ${pieces}`)
    );
    cached.release();
  }
});

Deno.test("with independent rows, a continuation is the same bits in any company", async () => {
  const device = await openCpu({ threads: 2 });
  const model = await load("llama", device);
  const random = new RandomStream(4, "prompts");
  const beginning = Uint32Array.from({ length: 40 }, (_, i) => 1 + i % 17);
  // Neighbours share all, some or none of their first tokens; the last is a part of the first.
  const prompts = [40, 33, 9, 40, 1].map((length, index) =>
    Uint32Array.of(
      ...beginning.subarray(0, length),
      ...Array.from({ length: 3 * index % 4 }, (_, i) =>
        Math.floor(30 * random.uniform(4 * index + i))),
    )
  );
  const made = async (
    list: readonly Uint32Array[],
    numbers: readonly number[],
    batchSize: number,
  ) =>
    await generate(model, list, {
      ...{ maxNewTokens: 20, temperature: 0.8, independentRows: true, readEvery: 7 },
      ...{ numbers, batchSize },
    });
  const order = [...prompts.keys()];
  const expected = await made(prompts, order, 5);
  for (const batchSize of [1, 2, 3]) {
    assert.deepEqual(await made(prompts, order, batchSize), expected, `${batchSize} at once`);
  }
  const backwards = await made(prompts.toReversed(), order.toReversed(), 2);
  assert.deepEqual(backwards.reverse(), expected);
  for (const [number, prompt] of prompts.entries()) {
    assert.deepEqual(
      await made([prompt], [number], 8),
      [expected[number]],
      `prompt ${number} alone`,
    );
  }
  device.close();
});

const SAMPLED: GenerationOptions = { maxNewTokens: 12, temperature: 1.5, topK: 20, topP: 0.95 };

Deno.test("draws depend on the seed and the prompt's number, not on the batch", async () => {
  const model = await load("llama");
  const texts = async (options: Partial<GenerationOptions>, prompts = PROMPTS) =>
    (await generate(model, prompts, { ...SAMPLED, ...options })).map(({ tokens }) => [...tokens]);
  const expected = await texts({ seed: 5 });
  assert.deepEqual(await texts({ seed: 5, batchSize: 1 }), expected);
  assert.deepEqual(await texts({ seed: 5, batchSize: 3, readEvery: 5 }), expected);
  assert.deepEqual(await texts({ seed: 5, batchSize: 2, readEvery: 1 }), expected);
  assert.notDeepEqual(await texts({ seed: 6 }), expected);
  const same = await texts({ seed: 5 }, [PROMPTS[1]!, PROMPTS[1]!]);
  assert.notDeepEqual(same[0], same[1], "equal prompts have draws of their own");
});

Deno.test("draws follow the probabilities of the model", async () => {
  const model = await load("qwen3 with q/k norms");
  const logits = await fullLogits(model, [...PROMPTS[1]!]);
  const temperature = 2;
  const terms = logits.map((logit) => Math.exp((logit - Math.max(...logits)) / temperature));
  const total = terms.reduce((sum, term) => sum + term, 0);
  const count = 3000;
  const prompts = Array.from({ length: count }, () => PROMPTS[1]!);
  const drawn = await generate(model, prompts, {
    maxNewTokens: 1,
    temperature,
    batchSize: 100,
  });
  const found = new Float64Array(VOCABULARY);
  for (const { tokens } of drawn) found[tokens[0]!]! += 1;
  // Tokens that are expected fewer than 10 times are one class.
  const rare = { expected: 0, found: 0 };
  let statistic = 0;
  let classes = 0;
  const add = (expected: number, seen: number) => {
    statistic += (seen - expected) ** 2 / expected;
    classes++;
  };
  terms.forEach((term, v) => {
    const expected = count * term / total;
    if (expected >= 10) return add(expected, found[v]!);
    rare.expected += expected;
    rare.found += found[v]!;
  });
  if (rare.expected > 0) add(rare.expected, rare.found);
  assert.ok(classes > 5, `${classes} classes`);
  // Mean and four standard deviations of the chi-squared distribution.
  const freedom = classes - 1;
  assert.ok(statistic < freedom + 4 * Math.sqrt(2 * freedom), `${statistic}, ${freedom}`);
});

Deno.test("a continuation ends at a stop token, without it, and when it is complete", async () => {
  const model = await load("llama");
  const [whole] = await generate(model, [PROMPTS[1]!], { maxNewTokens: 12 });
  const tokens = [...whole!.tokens];
  const stopped = tokens.findIndex((token, i) => i > 3 && !tokens.slice(0, i).includes(token));
  assert.ok(stopped > 0, `${tokens} has a token that is new`);
  const stop = [tokens[stopped]!];
  for (const readEvery of [1, 5, 16]) {
    const [cut] = await generate(model, [PROMPTS[1]!], { maxNewTokens: 12, stop, readEvery });
    assert.deepEqual([...cut!.tokens], tokens.slice(0, stopped));
    assert.equal(cut!.logProbabilities.length, stopped);
    assert.equal(cut!.end, "stop");
  }
  const [complete] = await generate(model, [PROMPTS[1]!], {
    maxNewTokens: 12,
    readEvery: 2,
    isComplete: (tokens) => tokens.length >= 3,
  });
  assert.deepEqual([...complete!.tokens], tokens.slice(0, 4));
  assert.equal(complete!.end, "complete");
});

Deno.test("generate frees what it allocated", async () => {
  const model = await load("llama");
  const before = model.device.memory().current;
  await generate(model, PROMPTS, { maxNewTokens: 3 });
  assert.equal(model.device.memory().current, before);
});

Deno.test("generate refuses what the model cannot continue", async () => {
  const model = await load("llama");
  const refused = (prompts: Uint32Array[], maxNewTokens: number, message: RegExp) =>
    assert.rejects(
      () => generate(model, prompts, { maxNewTokens }),
      (error: unknown) => error instanceof UserError && message.test(error.message),
    );
  await refused([Uint32Array.of(1), new Uint32Array(0)], 1, /Prompt 1 has no token/);
  await refused([Uint32Array.of(VOCABULARY)], 1, /Prompt 0 has the token 41, but .* 41 tokens/);
  await refused([Uint32Array.of(1)], 0, /maxNewTokens is 0, but .* from 1 on/);
  await refused([Uint32Array.of(1)], 401, /401 tokens do not fit the model's 400 positions/);
  model.device.write(model.finalNorm.value, new Float64Array(16).fill(NaN));
  await refused([Uint32Array.of(1)], 2, /computes NaN for token 0 after prompt 0/);
});
