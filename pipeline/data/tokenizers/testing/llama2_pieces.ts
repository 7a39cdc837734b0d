/**
 * The vocabulary of LLaMA 2, which the test data have as GGUF.
 *
 * @module
 */

import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { Tokenizer } from "../../tokenizer.ts";
import { MODEL_TYPE, type Piece } from "../sentencepiece/model_proto.ts";
import { writeModelProto } from "./write_model_proto.ts";

/** The pieces of a GGUF vocabulary of the kind "llama"; its types are those of SentencePiece. */
export async function llama2Pieces(testData: string): Promise<Piece[]> {
  const path = join(testData, "tokenizers/ggml-vocab-llama-spm.gguf");
  const { metadata } = await gguf(path, { allowLocalFile: true }) as unknown as {
    readonly metadata: Readonly<Record<string, readonly unknown[]>>;
  };
  const [tokens = [], scores = [], types = []] = ["tokens", "scores", "token_type"]
    .map((name) => metadata[`tokenizer.ggml.${name}`]);
  return tokens.map((piece, id) => ({
    // The library drops a byte order mark at the start of a text, and this piece is one.
    piece: String(piece) || "\ufeff",
    score: Number(scores[id]),
    type: Number(types[id]),
  }));
}

/** The tokenizer of LLaMA 2: a SentencePiece model of these pieces, written and opened. */
export async function openLlama2(testData: string): Promise<Tokenizer> {
  const folder = await Deno.makeTempDir();
  try {
    const model = writeModelProto({
      pieces: await llama2Pieces(testData),
      modelType: MODEL_TYPE.bpe,
      byteFallback: true,
      normalizer: { addDummyPrefix: true, removeExtraWhitespaces: false },
    });
    await Deno.writeFile(join(folder, "tokenizer.model"), model);
    return Tokenizer.open(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
