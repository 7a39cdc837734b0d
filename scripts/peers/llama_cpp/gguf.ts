/**
 * Writes random models as GGUF files, for timing llama.cpp: linear layers, embedding and head in Q4_0,
 * norms in f32, a vocabulary of numbers. Not for models that anyone uses.
 *
 * @module
 */

import type { ModelShape } from "../../../pipeline/bench/models.ts";
import { GGUF_TENSOR, type GgufTensor, writeGguf } from "./gguf_file.ts";

/** Weights of a block of Q4_0, and its bytes: an f16 scale and 16 pairs of codes. */
const BLOCK = 32;
const BLOCK_BYTES = 18;

/** Writes a model of this shape; weights are random codes with a scale that keeps them near 0.02. */
export async function writeRandomGguf(path: string, config: ModelShape): Promise<void> {
  await writeGguf(path, config, tensorsOf(config));
}

function tensorsOf(config: ModelShape): GgufTensor[] {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const keys = hidden / config.num_attention_heads * config.num_key_value_heads;
  const matrix = (name: string, inputs: number, outputs: number): GgufTensor => {
    const bytes = inputs * outputs / BLOCK * BLOCK_BYTES;
    const dimensions = [inputs, outputs];
    const data = () => randomBlocks(bytes);
    return { name: `${name}.weight`, dimensions, type: GGUF_TENSOR.q4_0, bytes, data };
  };
  const norm = (name: string): GgufTensor => ({
    name: `${name}.weight`,
    dimensions: [hidden],
    type: GGUF_TENSOR.f32,
    bytes: 4 * hidden,
    data: () => new Uint8Array(new Float32Array(hidden).fill(1).buffer),
  });
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => [
    norm(`blk.${layer}.attn_norm`),
    matrix(`blk.${layer}.attn_q`, hidden, hidden),
    matrix(`blk.${layer}.attn_k`, hidden, keys),
    matrix(`blk.${layer}.attn_v`, hidden, keys),
    matrix(`blk.${layer}.attn_output`, hidden, hidden),
    norm(`blk.${layer}.ffn_norm`),
    matrix(`blk.${layer}.ffn_gate`, hidden, inner),
    matrix(`blk.${layer}.ffn_up`, hidden, inner),
    matrix(`blk.${layer}.ffn_down`, inner, hidden),
  ]);
  return [
    matrix("token_embd", hidden, vocabulary),
    ...layers.flat(),
    norm("output_norm"),
    ...config.tie_word_embeddings ? [] : [matrix("output", hidden, vocabulary)],
  ];
}

/** 0.0044 in half precision: codes -8 to 7 then deviate by 0.02. */
const SCALE = 0x1c81;

/** Blocks of random codes under one scale. */
function randomBlocks(bytes: number): Uint8Array<ArrayBuffer> {
  const blocks = new Uint8Array(bytes);
  const view = new DataView(blocks.buffer);
  let state = 1;
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    view.setUint16(at, SCALE, true);
    for (let word = 0; word < 4; word++) {
      // xorshift32 (Marsaglia 2003).
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      view.setUint32(at + 2 + 4 * word, state >>> 0, true);
    }
  }
  return blocks;
}
