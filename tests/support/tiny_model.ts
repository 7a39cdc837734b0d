/**
 * A model that costs nothing: random weights and a tokenizer, in a folder of the Hugging Face layout.
 *
 * @module
 */

import { join } from "node:path";
import { trainByteLevelBpe } from "../../pipeline/data/byte_level_bpe.ts";
import { parseConfig } from "../../pipeline/models/config.ts";
import { writeDenseModel } from "../../pipeline/models/dense_model.ts";
import { RandomModel } from "../../pipeline/models/random_model.ts";

/** `config.json` of the smallest model that has every part: one block, two heads, one of them shared. */
export const TINY_CONFIG: Readonly<Record<string, unknown>> = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 264,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  torch_dtype: "float32",
};

/** Text whose next character can be learned: about 2500 characters in lines. */
export const TINY_TEXT: string = Array.from(
  { length: 50 },
  (_, line) =>
    `${line}: the ${line % 2 === 0 ? "cat" : "dog"} sat on mat ${line % 7} all day long.\n`,
).join("");

/** What differs from {@linkcode TINY_CONFIG} and from weights as GPT-2 starts. */
export interface TinyModelOptions {
  /** Fields of `config.json`; the weights follow it. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Standard deviation of the weights. */
  readonly deviation?: number;
}

/** Writes a model into `folder`, which is made. */
export async function writeTinyModel(
  folder: string,
  { config: changes = {}, deviation = 0.02 }: TinyModelOptions = {},
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const json = { ...TINY_CONFIG, ...changes };
  const config = parseConfig(json, "tiny model");
  const model = new RandomModel(config, 1, deviation);
  await writeDenseModel(folder, model, json);
  const files = trainByteLevelBpe([TINY_TEXT], { vocabSize: 264 });
  await Deno.writeTextFile(join(folder, "tokenizer.json"), JSON.stringify(files.tokenizer));
  await Deno.writeTextFile(join(folder, "tokenizer_config.json"), JSON.stringify(files.config));
}

/** A node that quantizes the model of {@linkcode inFolder}. */
export const QUANTIZE: string =
  "{ stage: quantize, model: tiny, quantizer: { method: rtn, bits: 4, group_size: 16 } }";

/** Runs a test in a temporary folder that holds a model, `tiny`, and a text, `text.txt`. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    await writeTinyModel(join(folder, "tiny"));
    await Deno.writeTextFile(join(folder, "text.txt"), TINY_TEXT);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
