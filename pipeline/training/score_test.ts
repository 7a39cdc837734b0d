import assert from "node:assert/strict";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { meanLoss, scoreRows } from "./score.ts";
import { bigram, initialValues, randomRows, VOCABULARY, WIDTH } from "./testing/bigram.ts";

const EMBEDDING = initialValues("embedding");
const HEAD = initialValues("head");

function lossOf(token: number, next: number): number {
  const logits = Array.from({ length: VOCABULARY }, (_, id) => {
    const row = HEAD.subarray(id * WIDTH, id * WIDTH + WIDTH);
    return row.reduce((sum, value, i) => sum + value * (EMBEDDING[token * WIDTH + i] as number), 0);
  });
  return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) -
    (logits[next] as number);
}

for (const batchSize of [1, 4, 11]) {
  Deno.test(`every target gets its loss, every other token 0, ${batchSize} rows at a time`, async () => {
    const device = new ReferenceDevice();
    const model = bigram(device, batchSize, 6);
    const dataset = randomRows(11);
    const rows = Array.from({ length: 11 }, (_, index) => dataset.example(index));
    const before = device.memory().current;
    const seen: number[] = [];
    const scores = await scoreRows(model, rows, (done) => seen.push(done));
    assert.equal(device.memory().current, before);
    assert.equal(seen.at(-1), 11);
    let sum = 0;
    let count = 0;
    rows.forEach(({ tokens, targets }, index) => {
      const score = scores[index] as Float64Array;
      assert.equal(score.length, tokens.length);
      score.forEach((loss, position) => {
        const expected = targets[position] === 1
          ? lossOf(tokens[position - 1] as number, tokens[position] as number)
          : 0;
        assert(Math.abs(loss - expected) < 1e-12);
        sum += expected;
        count += targets[position] as number;
      });
    });
    assert(Math.abs(await meanLoss(model, rows) - sum / count) < 1e-12);
    device.close();
  });
}

Deno.test("no rows, no scores", async () => {
  const device = new ReferenceDevice();
  assert.deepEqual(await scoreRows(bigram(device, 2, 6), []), []);
  device.close();
});
