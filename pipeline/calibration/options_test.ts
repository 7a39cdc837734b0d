import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { CALIBRATION, calibrationShape, calibrationSources } from "./options.ts";

const data = { text: "stories.txt" };

Deno.test("by default, 128 windows of 2048 tokens or all positions", () => {
  const options = CALIBRATION.parse({ data });
  const shape = (maxPositions: number) => calibrationShape(options, { maxPositions });
  assert.deepEqual(shape(4096), { samples: 128, length: 2048, batchSize: 4 });
  assert.deepEqual(shape(512), { samples: 128, length: 512, batchSize: 4 });
  assert.equal(options.activations, "quantized");
  assert.equal(options.true_sequential, false);
});

Deno.test("batches divide the samples", () => {
  for (const [samples, batch_size, batchSize] of [[7, 4, 1], [9, 4, 3], [6, 8, 6], [12, 5, 4]]) {
    const options = CALIBRATION.parse({ data, samples, batch_size });
    assert.equal(calibrationShape(options, { maxPositions: 8 }).batchSize, batchSize);
  }
});

Deno.test("a window longer than the model is refused", () => {
  const options = CALIBRATION.parse({ data, length: 513 });
  assert.throws(
    () => calibrationShape(options, { maxPositions: 512 }),
    (error) =>
      error instanceof UserError &&
      /513 tokens do not fit.*512 positions.*at most 512/.test(error.message),
  );
});

Deno.test("true_sequential needs quantized activations", () => {
  const parsed = CALIBRATION.safeParse({ data, activations: "full", true_sequential: true });
  assert.deepEqual(parsed.error?.issues.map(({ path, message }) => [path.join("."), message]), [
    ["true_sequential", "true_sequential needs activations: quantized"],
  ]);
});

Deno.test("its files are sources of the stage", () => {
  const options = CALIBRATION.parse({ data: { text: ["a.txt", "b.txt"] } });
  assert.deepEqual(calibrationSources(undefined), []);
  assert.deepEqual(calibrationSources(options), [
    { reference: "a.txt", path: "calibration.data.text.0" },
    { reference: "b.txt", path: "calibration.data.text.1" },
  ]);
});
