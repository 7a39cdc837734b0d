import assert from "node:assert/strict";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { modelLinears, parameterCount } from "../models/architecture.ts";
import { RandomModel } from "../models/random_model.ts";
import { evaluationJob, loraJob } from "./model_jobs.ts";
import {
  benchmarkConfig,
  benchmarkTokens,
  MODEL_SHAPES,
  type ModelName,
  PatternModel,
  quantizedSource,
} from "./models.ts";

Deno.test("models have the size in their names", () => {
  const millions = (name: ModelName) => parameterCount(benchmarkConfig(name)) / 1e6;
  const expected: Record<ModelName, number> = {
    "brown-525k": 0.525,
    "tinystories-656k": 0.656,
    "15M": 15.2,
    "110M": 109.5,
    "1.1B": 1100,
    "7B, one layer": 203.4,
    "7B": 6738,
  };
  for (const name of Object.keys(MODEL_SHAPES) as ModelName[]) {
    const ratio = millions(name) / expected[name];
    assert.ok(Math.abs(ratio - 1) < 0.002, `${name}: ${millions(name)} million`);
  }
});

Deno.test("a pattern model's weights spread like a random model's, dense and quantized", async () => {
  const config = benchmarkConfig("brown-525k");
  const linear = modelLinears(config)[0];
  assert.ok(linear);
  for (const format of ["f32", "int4"] as const) {
    const weight = await new PatternModel(config, format).weight(linear);
    assert.equal(weight.format, format === "f32" ? "dense" : "integer");
    const values = weight.format === "dense" ? [...weight.values] : [];
    if (weight.format === "integer") {
      assert.equal(weight.codes.length, linear.rows * linear.columns / 8);
      for (const word of weight.codes) {
        for (let nibble = 0; nibble < 8; nibble++) {
          values.push((weight.scales[0] ?? 0) * ((word >>> (4 * nibble) & 15) - 7.5));
        }
      }
    }
    assert.equal(values.length, linear.rows * linear.columns);
    const square = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
    assert.ok(Math.abs(Math.sqrt(square) / 0.02 - 1) < 0.05, `${format}: ${Math.sqrt(square)}`);
  }
});

Deno.test("tokens are those that the peers' scripts make", () => {
  // Python: [(i * 2654435761 & 0xFFFFFFFF) >> 8 for i in (0, 1, 2, 3)], modulo 2048.
  const hash = [0, 10368889, 3960563, 14329453];
  assert.deepEqual([...benchmarkTokens(4, 2048)], hash.map((value) => value % 2048));
});

Deno.test("jobs tell the mean loss: near log V for a random model", async () => {
  const config = benchmarkConfig("brown-525k");
  const size = { batchSize: 2, length: 6 };
  const source = quantizedSource(new RandomModel(config, 0));
  for (
    const make of [
      evaluationJob,
      (...args: Parameters<typeof evaluationJob>) => loraJob(...args, 4),
    ]
  ) {
    const device = new ReferenceDevice();
    const job = await make(device, source, size);
    job.queue(1);
    assert.ok(Math.abs(await job.loss() - Math.log(config.vocabSize)) < 0.3);
    job.release();
    assert.equal(device.memory().current, 0);
  }
});
