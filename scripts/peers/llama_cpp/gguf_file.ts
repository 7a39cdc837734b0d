/**
 * Writes GGUF files of models of the LLaMA family, for llama.cpp: to time it, and to compare with what it
 * computes.
 *
 * The format: "GGUF", version 3, the numbers of tensors and of metadata entries, the entries, the
 * tensors' names, shapes, types and offsets, then the data, aligned to 32 bytes
 * (ggml's docs/gguf.md).
 *
 * @module
 */

import type { ModelShape } from "../../../pipeline/bench/models.ts";

/** Types of metadata values. */
const VALUE = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;

/** Types of tensors. */
export const GGUF_TENSOR = { f32: 0, q4_0: 2 } as const;

const ALIGNMENT = 32;

/** A tensor of a file. */
export interface GgufTensor {
  /** As llama.cpp calls it. */
  readonly name: string;
  /** Inputs first. */
  readonly dimensions: readonly number[];
  /** One of {@linkcode GGUF_TENSOR}. */
  readonly type: number;
  /** Size of `data`. */
  readonly bytes: number;
  /** Made when it is written. */
  data(): Uint8Array<ArrayBuffer>;
}

/** Writes a model of this shape with a vocabulary of numbers: texts are given as token ids. */
export async function writeGguf(
  path: string,
  config: ModelShape,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const parts = function* () {
    yield headerOf(config, tensors);
    for (const tensor of tensors) yield tensor.data();
  };
  const padded = ReadableStream.from(parts()).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(part, controller) {
        controller.enqueue(part);
        if (padding(part.length) > 0) controller.enqueue(new Uint8Array(padding(part.length)));
      },
    }),
  );
  await Deno.writeFile(path, padded);
}

function headerOf(config: ModelShape, tensors: readonly GgufTensor[]): Uint8Array<ArrayBuffer> {
  const bytes = new ByteWriter();
  const heads = config.num_attention_heads;
  const words = Array.from({ length: config.vocab_size }, (_, id) => vocabularyEntry(id));
  const entries: [string, (bytes: ByteWriter) => void][] = [
    ["general.architecture", (to) => to.u32(VALUE.string).string("llama")],
    ["general.name", (to) => to.u32(VALUE.string).string("a model without words")],
    ["llama.context_length", (to) => to.u32(VALUE.u32).u32(config.max_position_embeddings)],
    ["llama.embedding_length", (to) => to.u32(VALUE.u32).u32(config.hidden_size)],
    ["llama.block_count", (to) => to.u32(VALUE.u32).u32(config.num_hidden_layers)],
    ["llama.feed_forward_length", (to) => to.u32(VALUE.u32).u32(config.intermediate_size)],
    ["llama.attention.head_count", (to) => to.u32(VALUE.u32).u32(heads)],
    ["llama.attention.head_count_kv", (to) => to.u32(VALUE.u32).u32(config.num_key_value_heads)],
    ["llama.attention.layer_norm_rms_epsilon", (to) => to.u32(VALUE.f32).f32(config.rms_norm_eps)],
    ["llama.rope.dimension_count", (to) => to.u32(VALUE.u32).u32(config.hidden_size / heads)],
    ["tokenizer.ggml.model", (to) => to.u32(VALUE.string).string("llama")],
    ["tokenizer.ggml.tokens", (to) => {
      to.u32(VALUE.array).u32(VALUE.string).u64(words.length);
      for (const { text } of words) to.string(text);
    }],
    ["tokenizer.ggml.scores", (to) => {
      to.u32(VALUE.array).u32(VALUE.f32).u64(words.length);
      for (let id = 0; id < words.length; id++) to.f32(-id);
    }],
    ["tokenizer.ggml.token_type", (to) => {
      to.u32(VALUE.array).u32(VALUE.i32).u64(words.length);
      for (const { type } of words) to.u32(type);
    }],
  ];
  bytes.text("GGUF").u32(3).u64(tensors.length).u64(entries.length);
  for (const [key, write] of entries) write(bytes.string(key));
  let offset = 0;
  for (const { name, dimensions, type, bytes: size } of tensors) {
    bytes.string(name).u32(dimensions.length);
    for (const dimension of dimensions) bytes.u64(dimension);
    bytes.u32(type).u64(offset);
    offset += size + padding(size);
  }
  return bytes.finish();
}

/** Ids 0 to 2 are unknown, begin and end; then all bytes, without which nothing is tokenized. */
function vocabularyEntry(id: number): { readonly text: string; readonly type: number } {
  if (id < 3) return { text: `<${id}>`, type: id === 0 ? 2 : 3 };
  const byte = id - 3;
  if (byte < 256) {
    return { text: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, type: 6 };
  }
  return { text: `▁${id}`, type: 1 };
}

function padding(bytes: number): number {
  return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
}

/** Grows as it is written to; little-endian. */
class ByteWriter {
  #bytes = new Uint8Array(1 << 16);
  #size = 0;

  u32(value: number): this {
    return this.#put(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): this {
    return this.#put(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  f32(value: number): this {
    return this.#put(4, (view) => view.setFloat32(0, value, true));
  }

  /** With its length in front. */
  string(value: string): this {
    return this.u64(new TextEncoder().encode(value).length).text(value);
  }

  text(value: string): this {
    const encoded = new TextEncoder().encode(value);
    return this.#put(encoded.length, (_, bytes) => bytes.set(encoded));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#size);
  }

  #put(count: number, write: (view: DataView, bytes: Uint8Array) => void): this {
    if (this.#size + count > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length + count);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    const bytes = this.#bytes.subarray(this.#size, this.#size + count);
    write(new DataView(bytes.buffer, bytes.byteOffset, count), bytes);
    this.#size += count;
    return this;
  }
}
