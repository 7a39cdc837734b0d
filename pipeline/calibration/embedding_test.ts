import assert from "node:assert/strict";
import { join } from "node:path";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { parseConfig } from "../models/config.ts";
import type { ModelSource } from "../models/language_model.ts";
import { RandomModel } from "../models/random_model.ts";
import { writeEmbeddings } from "./embedding.ts";
import { HiddenStates } from "./hidden_states.ts";

const WIDTH = 8;
const CONFIG = parseConfig({
  hidden_size: WIDTH,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 11,
}, "embedding test");
const TOKENS = Uint32Array.of(10, 0, 3, 3, 9, 0);

/** The embedding in pieces of `size` numbers, in the same memory as files give them. */
function source(size: number | null): ModelSource {
  const random = new RandomModel(CONFIG, 2);
  if (size === null) return random;
  return {
    config: CONFIG,
    moduleFormat: () => null,
    weight: (linear) => random.weight(linear),
    floats: (name) => random.floats(name),
    pieces: function* (name) {
      assert.equal(name, "model.embed_tokens.weight");
      const memory = new Float32Array(size);
      for (let first = 0; first < table.length; first += size) {
        const values = memory.subarray(0, Math.min(size, table.length - first));
        values.set(table.subarray(first, first + values.length));
        yield { first, values };
      }
    },
  };
}

const table = await new RandomModel(CONFIG, 2).floats("model.embed_tokens.weight");

for (const size of [null, 3, 8, 13, 1000]) {
  Deno.test(`rows of the embedding, read in pieces of ${size ?? "its own size"}`, async () => {
    const folder = await Deno.makeTempDir();
    const device = new ReferenceDevice();
    {
      using states = new HiddenStates(join(folder, "states"), device, 2 * WIDTH);
      // Nothing would be left if the process were killed here.
      if (Deno.build.os !== "windows") assert.deepEqual([...Deno.readDirSync(folder)], []);
      await writeEmbeddings(states, TOKENS, source(size));
      const expected = [...TOKENS].flatMap((token) => [
        ...table.subarray(token * WIDTH, (token + 1) * WIDTH),
      ]);
      const found = [0, 1, 2].flatMap((batch) => [...states.read(batch)]);
      assert.deepEqual(found, expected);
      assert.throws(() => states.read(3), /Batch 3 was not written whole/);
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder);
    device.close();
  });
}
