/**
 * A model folder as a GGUF file in f32, for llama.cpp.
 *
 * @module
 */

import { join } from "node:path";
import type { ModelShape } from "../../pipeline/bench/models.ts";
import { blockLinears, type LinearName } from "../../pipeline/models/architecture.ts";
import { ModelFolder } from "../../pipeline/models/model_folder.ts";
import {
  GGUF_TENSOR,
  type GgufTensor,
  writeGguf,
} from "../../scripts/peers/llama_cpp/gguf_file.ts";

/** Names of llama.cpp (gguf-py's `tensor_mapping.py`). */
const NAMES: Readonly<Record<LinearName, string>> = {
  q_proj: "attn_q",
  k_proj: "attn_k",
  v_proj: "attn_v",
  o_proj: "attn_output",
  gate_proj: "ffn_gate",
  up_proj: "ffn_up",
  down_proj: "ffn_down",
};

/** Writes the dense weights of a LLaMA with tied embeddings; tokens are numbers. */
export async function writeModelGguf(path: string, folder: string): Promise<void> {
  using model = ModelFolder.open(folder);
  const { config } = model;
  const tensors: GgufTensor[] = [];
  const add = (name: string, dimensions: readonly number[], values: Float32Array) => {
    const bytes = new Uint8Array(values.slice().buffer);
    const rest = { type: GGUF_TENSOR.f32, bytes: bytes.length, data: () => bytes };
    tensors.push({ name: `${name}.weight`, dimensions, ...rest });
  };
  const { hiddenSize, vocabSize } = config;
  const floats = (name: string) => model.floats(`${name}.weight`);
  add("token_embd", [hiddenSize, vocabSize], await floats("model.embed_tokens"));
  add("output_norm", [hiddenSize], await floats("model.norm"));
  for (let layer = 0; layer < config.layers; layer++) {
    const [theirs, ours] = [`blk.${layer}`, `model.layers.${layer}`];
    add(`${theirs}.attn_norm`, [hiddenSize], await floats(`${ours}.input_layernorm`));
    add(`${theirs}.ffn_norm`, [hiddenSize], await floats(`${ours}.post_attention_layernorm`));
    for (const linear of blockLinears(config, layer)) {
      const weight = await model.weight(linear);
      if (weight.format !== "dense") throw new TypeError(`${linear.path} is ${weight.format}`);
      const rotated = linear.name === "q_proj" || linear.name === "k_proj";
      const shape = { headDim: config.headDim, inputs: linear.columns };
      const values = rotated ? interleave(weight.values, shape) : weight.values;
      add(`${theirs}.${NAMES[linear.name]}`, [linear.columns, linear.rows], values);
    }
  }
  const json: ModelShape = JSON.parse(await Deno.readTextFile(join(folder, "config.json")));
  await writeGguf(path, json, tensors);
}

/**
 * Rows of each head in the order in which llama.cpp rotates them: it pairs neighbours, Hugging Face the
 * halves of a head (`LlamaModel.permute` of llama.cpp's `convert_hf_to_gguf.py`).
 */
function interleave(
  values: Float32Array,
  { headDim, inputs }: { readonly headDim: number; readonly inputs: number },
): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < values.length / inputs; row++) {
    const inHead = row % headDim;
    const [half, pair] = [Math.floor(2 * inHead / headDim), inHead % (headDim / 2)];
    const target = row - inHead + 2 * pair + half;
    result.set(values.subarray(row * inputs, (row + 1) * inputs), target * inputs);
  }
  return result;
}
