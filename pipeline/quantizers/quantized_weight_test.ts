import assert from "node:assert/strict";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { dequantizeHost, type HostWeight, weightBytes } from "../formats/host_weight.ts";
import { upload } from "../models/device_weight.ts";
import { quantizerFor, type QuantizerParameters } from "./registry.ts";

const ROWS = 6;
const COLUMNS = 192;

function weightOf(parameters: QuantizerParameters): HostWeight {
  const stream = new RandomStream(1, "host weight test");
  const values = Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => stream.normal(index));
  return quantizerFor(parameters).quantize(values, ROWS, COLUMNS, parameters, "layer");
}

const rtn = { method: "rtn", group_size: 32, block_rows: 1, symmetric: false } as const;
const CASES: readonly QuantizerParameters[] = [
  { method: "none" },
  { ...rtn, bits: 2 },
  { ...rtn, bits: 3, group_size: 48 },
  { ...rtn, bits: 4, group_size: 4, block_rows: 3 },
  { ...rtn, bits: 8, symmetric: true },
  { method: "nf4", double_quantization: false },
  { method: "nf4", double_quantization: true },
];

for (const parameters of CASES) {
  Deno.test(`an uploaded weight reads as it does on the host: ${JSON.stringify(parameters)}`, async () => {
    const host = weightOf(parameters);
    const device = new ReferenceDevice();
    const weight = upload(device, host, "layer");
    const output = device.tensor("f32", [ROWS, COLUMNS], "output");
    device.run(device.record("read", (operations) => operations.dequantize({ weight, output })));
    const actual = await device.readFloats(output);
    // One rounding to f32 on the host, none on the reference device; values are below 8.
    dequantizeHost(host).forEach((value, index) => {
      assert(Math.abs(value - (actual[index] as number)) <= 2 ** -22);
    });
    device.close();
  });
}

Deno.test("storage counts every array, padding included", () => {
  // 6 rows of 6 chunks of 3 words, and 24 scales and zeros.
  assert.equal(
    weightBytes(weightOf({ ...rtn, bits: 3, group_size: 48 })),
    4 * (6 * 6 * 3 + 24 + 24),
  );
  // 6 rows of 24 words; 18 block maxima in 5 words, 1 scale, 1 mean.
  const nf4 = weightOf({ method: "nf4", double_quantization: true });
  assert.equal(weightBytes(nf4), 4 * (6 * 24 + 5 + 1 + 1));
  assert.equal(8 * weightBytes(nf4) / (6 * 192), 32 * (6 * 24 + 7) / (6 * 192));
  assert.equal(8 * weightBytes(weightOf({ method: "none" })) / (6 * 192), 32);
});
