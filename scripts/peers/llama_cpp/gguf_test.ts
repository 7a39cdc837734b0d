import assert from "node:assert/strict";
import { writeRandomGguf } from "./gguf.ts";

const CONFIG = {
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 32,
  vocab_size: 300,
  tie_word_embeddings: false,
  rms_norm_eps: 1e-6,
};

/** Reads what the format's description says, from the start of the file. */
class Reader {
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(bytes.buffer);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(): number {
    this.at += 8;
    return Number(this.#view.getBigUint64(this.at - 8, true));
  }

  string(): string {
    const bytes = new Uint8Array(this.#view.buffer as ArrayBuffer, this.at + 8, this.u64());
    this.at += bytes.length;
    return new TextDecoder().decode(bytes);
  }

  value(type = this.u32()): unknown {
    if (type === 4 || type === 5) return this.u32();
    if (type === 6) {
      this.at += 4;
      return this.#view.getFloat32(this.at - 4, true);
    }
    if (type === 8) return this.string();
    assert.equal(type, 9);
    const item = this.u32();
    return Array.from({ length: this.u64() }, () => this.value(item));
  }
}

Deno.test("a random GGUF has every tensor of a model, inside the file and aligned", async () => {
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    await writeRandomGguf(path, CONFIG);
    const bytes = await Deno.readFile(path);
    const reader = new Reader(bytes);
    assert.equal(reader.u32(), 0x46554747); // "GGUF"
    assert.equal(reader.u32(), 3);
    const [tensorCount, entryCount] = [reader.u64(), reader.u64()];
    const entries = new Map<string, unknown>();
    for (let entry = 0; entry < entryCount; entry++) entries.set(reader.string(), reader.value());
    assert.equal(entries.get("llama.attention.head_count_kv"), 2);
    const words = entries.get("tokenizer.ggml.tokens") as string[];
    assert.equal(words.length, 300);
    assert.equal(words[3 + 0x41], "<0x41>");
    const tensors = Array.from({ length: tensorCount }, () => {
      const name = reader.string();
      const dimensions = Array.from({ length: reader.u32() }, () => reader.u64());
      return { name, dimensions, type: reader.u32(), offset: reader.u64() };
    });
    // Embedding, head, final norm; two norms and seven matrices in the block.
    assert.equal(tensors.length, 3 + 9);
    const keys = tensors.find(({ name }) => name === "blk.0.attn_k.weight");
    assert.deepEqual(keys?.dimensions, [64, 32]);
    const start = Math.ceil(reader.at / 32) * 32;
    let end = 0;
    for (const { dimensions, type, offset } of tensors) {
      assert.equal(offset % 32, 0);
      assert.ok(offset >= end, "tensors do not overlap");
      const size = dimensions.reduce((product, dimension) => product * dimension, 1);
      end = offset + (type === 0 ? 4 * size : size / 32 * 18);
    }
    assert.equal(bytes.length, start + Math.ceil(end / 32) * 32);
    const norm = tensors.find(({ name }) => name === "output_norm.weight");
    const ones = new Float32Array(bytes.buffer, start + (norm?.offset ?? 0), 64);
    assert.deepEqual([...ones], new Array(64).fill(1));
  } finally {
    await Deno.remove(path);
  }
});
