import assert from "node:assert/strict";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { correlatedGram } from "../../tests/support/correlated.ts";
import { dequantizeHost, type HostWeight } from "../formats/host_weight.ts";
import type { Piece } from "../formats/safetensors.ts";
import { blockLinears } from "../models/architecture.ts";
import { parseConfig } from "../models/config.ts";
import type { ModelSource } from "../models/language_model.ts";
import { RandomModel } from "../models/random_model.ts";
import { gptq } from "../quantizers/gptq.ts";
import { DeviceBlock } from "./device_block.ts";

const CONFIG = parseConfig({
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 48,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
}, "test model");

Deno.test("a block of a folder whose weights a device holds in another format than they are stored in", async () => {
  const random = new RandomModel(CONFIG, 3, 0.3);
  const parameters = gptq.parameters.parse({ method: "gptq", group_size: 8, act_order: true });
  const weights = new Map<string, HostWeight>();
  for (const linear of blockLinears(CONFIG, 0)) {
    const { path, rows, columns } = linear;
    const dense = await random.weight(linear);
    const calibration = { gram: correlatedGram(columns, 99, 1), tokens: 99, sample: null };
    const values = dequantizeHost(dense);
    weights.set(path, gptq.quantize(values, rows, columns, parameters, path, calibration));
  }
  const source: ModelSource = {
    config: CONFIG,
    moduleFormat: () => gptq.format(parameters),
    weight: ({ path }) => Promise.resolve(weights.get(path) as HostWeight),
    floats: (name) => random.floats(name),
    pieces: (name): Iterable<Piece> => assert.fail(`${name} cannot be copied as it is stored`),
  };
  const device = new ReferenceDevice();
  const block = new DeviceBlock(device, source, 0);
  await block.fill(source);
  for (const { shape: { path, rows, columns }, weight } of Object.values(block.block.linears)) {
    const output = device.tensor("f32", [rows, columns], "output");
    device.run(device.record("read", (operations) => operations.dequantize({ weight, output })));
    const expected = dequantizeHost(weights.get(path) as HostWeight);
    assert.deepEqual(Float32Array.from(await device.readFloats(output)), expected);
  }
  block.release();
  device.close();
});
