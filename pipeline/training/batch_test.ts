import assert from "node:assert/strict";
import fc from "fast-check";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import type { Example } from "../data/dataset.ts";
import { countTargets, invertTokens, writeRows } from "./batch.ts";
import { bigram } from "./testing/bigram.ts";

function row(tokens: number[], targets: number[]): Example {
  return { tokens: Uint32Array.from(tokens), targets: Uint8Array.from(targets) };
}

Deno.test("rows are shifted, weighted and padded; what was there before is gone", async () => {
  const device = new ReferenceDevice();
  const model = bigram(device, 2, 4);
  const full = [row([6, 6, 6, 6], [0, 1, 1, 1]), row([6, 6, 6, 6], [0, 1, 1, 1])];
  writeRows(model, full, 1);
  writeRows(model, [row([1, 2, 3], [0, 0, 1])], 0.5);
  assert.deepEqual([...await device.readWords(model.tokens)], [1, 2, 3, 0, 0, 0, 0, 0]);
  assert.deepEqual([...await device.readWords(model.targets)], [2, 3, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...await device.readFloats(model.weights)], [0, 0.5, 0, 0, 0, 0, 0, 0]);
  const index = model.tokenIndex;
  assert(index !== null);
  assert.deepEqual([...await device.readWords(index.order)], [3, 4, 5, 6, 7, 0, 1, 2]);
  assert.deepEqual([...await device.readWords(index.offsets)], [0, 5, 6, 7, 8, 8, 8, 8]);
  device.close();
});

Deno.test("the last token of a row is not read, so it may be one more than the model reads", async () => {
  const device = new ReferenceDevice();
  const model = bigram(device, 2, 3);
  const long = row([1, 2, 3, 4], [0, 1, 1, 1]);
  writeRows(model, [row([5], [0]), long], 1);
  assert.deepEqual([...await device.readWords(model.tokens)], [5, 0, 0, 1, 2, 3]);
  assert.deepEqual([...await device.readWords(model.targets)], [0, 0, 0, 2, 3, 4]);
  assert.deepEqual([...await device.readFloats(model.weights)], [0, 0, 0, 1, 1, 1]);
  device.close();
});

Deno.test("the first token of a row is never a target", () => {
  assert.equal(countTargets([row([1, 2, 3], [1, 1, 0]), row([1], [1])]), 1);
});

Deno.test("what does not fit the model is refused", () => {
  const device = new ReferenceDevice();
  const model = bigram(device, 1, 3);
  const short = row([1, 2], [0, 1]);
  assert.throws(() => writeRows(model, [short, short], 1), /2 rows; the model is set up for 1/);
  assert.throws(
    () => writeRows(model, [row([1, 2, 3, 4, 5], [0, 1, 1, 1, 1])], 1),
    /5 tokens; the model is set up for 3/,
  );
  assert.throws(() => writeRows(model, [row([1, 7], [0, 1])], 1), /Token id 7 is outside/);
  device.close();
});

Deno.test("property: the inverse index lists each id's positions in order", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4), { maxLength: 30 }), (ids) => {
      const { order, offsets } = invertTokens(Uint32Array.from(ids), 5);
      for (let id = 0; id < 5; id++) {
        assert.deepEqual(
          [...order.subarray(offsets[id], offsets[id + 1])],
          ids.flatMap((value, position) => value === id ? [position] : []),
        );
      }
    }),
    { seed: 3 },
  );
});
