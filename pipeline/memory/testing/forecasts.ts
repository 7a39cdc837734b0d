/**
 * Forecasts of chains of stages on a model that is only a `config.json`.
 *
 * @module
 */

import { join } from "node:path";
import type { Forecast } from "../../graph/stage.ts";
import { stages } from "../../stages/registry.ts";

/** Parameters of a stage, by its name. */
export type Link = readonly [stage: string, parameters: Readonly<Record<string, unknown>>];

/** The shape of LLaMA-2 7B. */
export const SEVEN_BILLION: Readonly<Record<string, unknown>> = {
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
};

/** Forecasts of stages that each read the one before; `MODEL` in parameters stands for the model. */
export async function forecastChain(
  config: Readonly<Record<string, unknown>>,
  links: readonly Link[],
): Promise<Forecast[]> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(config));
    const forecasts: Forecast[] = [];
    for (const [name, parameters] of links) {
      const stage = stages.find((stage) => stage.name === name);
      if (stage?.forecast === undefined) throw new RangeError(`${name} has no forecast`);
      forecasts.push(
        await stage.forecast({
          parameters: stage.parameters.parse(parameters),
          input: forecasts.at(-1)?.outline ?? null,
          resolve: ({ reference }) => Promise.resolve([reference === "MODEL" ? folder : reference]),
        }),
      );
    }
    return forecasts;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Quantization to INT4. */
export const QUANTIZED: Link = [
  "quantize",
  { model: "MODEL", quantizer: { method: "rtn", bits: 4, group_size: 32 } },
];

/** LoRA of rank 16 on all seven linear layers. */
export const LORA: Link = ["initialize", { form: "lora", rank: 16 }];

/** Two steps of training, with changes. */
export function training(changes: Readonly<Record<string, unknown>> = {}): Link {
  return ["train", { data: { text: "text" }, steps: 2, batch_size: 1, length: 64, ...changes }];
}
