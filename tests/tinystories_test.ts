// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * A real trained model against values that other programs found.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import type { Device } from "../kernels/device.ts";
import { ReferenceDevice } from "../kernels/reference/device.ts";
import { openCpu } from "../kernels/cpu/device.ts";
import { openWebgpu } from "../kernels/webgpu/adapter.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { measurePerplexity } from "../pipeline/evaluation/perplexity.ts";
import { BatchModel } from "../pipeline/models/batch_model.ts";
import { loadLanguageModel } from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { scoreRows } from "../pipeline/training/score.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const FOLDER = join(TEST_DATA, "models/tinystories-656k");

testUnless(
  NO_TEST_DATA,
  "tinystories-656k has the logits that NumPy and llama.cpp found",
  async () => {
    const prompt = Tokenizer.open(FOLDER).encode("Once upon a time");
    assert.deepEqual([...prompt], [1, 80, 147, 201, 282, 57]);
    for (const device of [await openWebgpu(), await openCpu()]) {
      using folder = ModelFolder.open(FOLDER);
      const model = await loadLanguageModel(device, folder);
      const batch = new BatchModel(model, { batchSize: 1, length: prompt.length });
      device.write(batch.tokens, prompt);
      device.run(batch.forward);
      let last: ArrayLike<number> = [];
      for await (const logits of batch.logits(1)) last = logits;
      const order = Array.from(last, (_, id) => id)
        .sort((left, right) => last[right]! - last[left]!);
      assert.deepEqual(order.slice(0, 5), [313, 8, 1773, 404, 547], device.info.name);
      [17.38081, 13.77263, 13.74347, 12.6918, 11.35854].forEach((expected, index) => {
        const found = last[order[index]!]!;
        assert.ok(Math.abs(found - expected) < 1e-3, `logit ${found}, expected ${expected}`);
      });
      device.close();
    }
  },
);

testUnless(NO_TEST_DATA, "perplexity of stories equals a float64 forward pass", async () => {
  const text = await Deno.readTextFile(join(TEST_DATA, "text/tinystories/stories.txt"));
  // Four windows of 512: the float64 reference takes seconds for each.
  const tokens = Tokenizer.open(FOLDER).encode(text.slice(0, 12_000)).subarray(0, 4 * 512);
  const measure = async (device: Device) => {
    using folder = ModelFolder.open(FOLDER);
    const model = await loadLanguageModel(device, folder);
    const batch = new BatchModel(model, { batchSize: 2, length: 512 });
    const protocol = { kind: "window", window: 512 } as const;
    const result = await measurePerplexity([tokens], protocol, (rows) => scoreRows(batch, rows));
    device.close();
    return result;
  };
  const expected = await measure(new ReferenceDevice());
  for (const device of [await openWebgpu(), await openCpu()]) {
    const found = await measure(device);
    assert.equal(found.tokens, 4 * 511);
    const error = Math.abs(found.perplexity / expected.perplexity - 1);
    const { name } = device.info;
    assert.ok(error < 1e-4, `${name}: ${found.perplexity} against ${expected.perplexity}`);
  }
});
