import assert from "node:assert/strict";
import { modelLinears, parameterCount, plainTensors } from "./architecture.ts";
import { parseConfig } from "./config.ts";

const llama = {
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32000,
};

function refuses(changes: Record<string, unknown>, message: RegExp): void {
  assert.throws(() => parseConfig({ ...llama, ...changes }, "m/config.json"), message);
}

Deno.test("parseConfig() and the architecture give LLaMA-7B its published size", () => {
  assert.equal(parameterCount(parseConfig(llama, "config.json")), 6_738_415_616);
});

Deno.test("parseConfig() gives Llama-3-8B and Qwen2-0.5B theirs", () => {
  const llama3 = parseConfig({
    ...llama,
    intermediate_size: 14336,
    num_key_value_heads: 8,
    vocab_size: 128256,
  }, "config.json");
  assert.equal(parameterCount(llama3), 8_030_261_248);
  const qwen2 = parseConfig({
    model_type: "qwen2",
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    vocab_size: 151936,
    tie_word_embeddings: true,
    use_sliding_window: false,
    sliding_window: 32768,
  }, "config.json");
  assert.equal(parameterCount(qwen2), 494_032_768);
  assert.equal(qwen2.slidingWindow, null);
});

Deno.test("parseConfig() gives each architecture what sets it apart", () => {
  const of = (changes: Record<string, unknown>) => parseConfig({ ...llama, ...changes }, "c");
  assert.equal(of({ model_type: "mistral", sliding_window: 4096 }).slidingWindow, 4096);
  assert.equal(of({ model_type: "mistral", sliding_window: null }).slidingWindow, null);
  assert.equal(of({ sliding_window: 4096 }).slidingWindow, null);
  const qwen3 = of({ model_type: "qwen3", head_dim: 64 });
  assert.ok(qwen3.queryKeyNorm && qwen3.headDim === 64);
  assert.ok(
    plainTensors(qwen3).some(({ name }) => name === "model.layers.0.self_attn.q_norm.weight"),
  );
  assert.equal(modelLinears(qwen3)[0]?.rows, 32 * 64);
  const biased = plainTensors(of({ model_type: "qwen2" })).filter(({ name }) =>
    name.endsWith(".bias")
  );
  assert.equal(biased.length, 3 * 32);
});

Deno.test("parseConfig() names the field that is missing or wrong", () => {
  refuses({ hidden_size: undefined }, /m\/config.json: the field "hidden_size" is missing/);
  refuses({ hidden_size: "4096" }, /"hidden_size" is "4096", expected a positive whole number/);
  refuses({ num_hidden_layers: 0 }, /"num_hidden_layers" is 0, expected a positive whole number/);
  refuses({ model_type: "gpt2" }, /model_type is "gpt2", but this version runs llama, mistral/);
  refuses({ hidden_act: "gelu" }, /hidden_act is "gelu"/);
  refuses({ num_key_value_heads: 5 }, /num_key_value_heads 5 does not divide/);
  refuses({ head_dim: 6 }, /heads have 6 features .* multiples of 4/);
  refuses({ rope_scaling: { type: "longrope" } }, /rope scaling is of type "longrope"/);
  refuses({ rope_scaling: { type: "linear" } }, /\(rope_scaling\): the field "factor" is missing/);
});
