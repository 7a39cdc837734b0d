import assert from "node:assert/strict";
import { CountingDevice } from "../../kernels/counting/device.ts";
import { plainMemory } from "../../kernels/counting/memory_model.ts";
import type { Forecast } from "../graph/stage.ts";
import { kindOf } from "./kinds.ts";
import { forecastChain, type Link, LORA, QUANTIZED, training } from "./testing/forecasts.ts";

/** Every part that a model can have. */
const CONFIG = {
  model_type: "qwen3",
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300,
  attention_bias: true,
};

const EVALUATION: Link = [
  "evaluate",
  { tasks: [{ task: "perplexity", data: { text: "text" }, window: 64 }] },
];

function labelsOf(forecasts: readonly Forecast[]): string[] {
  return forecasts.flatMap((forecast) => {
    const device = new CountingDevice(plainMemory("test", Infinity));
    forecast.rehearse(device);
    return device.ledger.lifetimes(["device"]).map(({ label }) => label);
  });
}

Deno.test("every tensor of every stage has a kind", async () => {
  const labels = labelsOf([
    ...await forecastChain(CONFIG, [
      QUANTIZED,
      LORA,
      training({ dropout: 0.1, evaluation: { text: "text" }, evaluate_every: 1, packing: true }),
      ["merge", {}],
      EVALUATION,
    ]),
    ...await forecastChain(CONFIG, [
      ["quantize", { model: "MODEL", quantizer: { method: "nf4" } }],
      EVALUATION,
    ]),
    ...(await Promise.all(
      [
        { method: "apiq-bw", aug_loss: true },
        { method: "apiq-lw", aug_loss: true },
        { method: "rilq" },
      ].map((init) => {
        const calibration = { data: { text: "text" }, samples: 2, length: 32 };
        return forecastChain(CONFIG, [QUANTIZED, ["initialize", {
          form: "lora",
          init,
          calibration,
        }]]);
      }),
    )).flat(),
    ...await forecastChain(CONFIG, [
      ["quantize", { model: "MODEL", quantizer: { method: "none" } }],
      ["initialize", { form: "full" }],
      training(),
    ]),
    ...await forecastChain(CONFIG, [
      QUANTIZED,
      LORA,
      training({ scheme: { method: "xgblora", rounds: 2, penalty: 0.1 } }),
      EVALUATION,
    ]),
  ]);
  assert.ok(labels.length > 300, `${labels.length} tensors`);
  assert.deepEqual(labels.filter((label) => kindOf(label) === null), []);
  assert.equal(kindOf("something else"), null);
});
