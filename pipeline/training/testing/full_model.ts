/**
 * A small model of which every weight trains, on any device.
 *
 * @module
 */

import type { Device } from "../../../kernels/device.ts";
import { BatchModel, type BatchOptions } from "../../models/batch_model.ts";
import { parseConfig } from "../../models/config.ts";
import { loadLanguageModel } from "../../models/language_model.ts";
import { ParameterSpace } from "../../models/parameters.ts";
import { RandomModel } from "../../models/random_model.ts";
import { fullParameterShapes } from "../../stages/full_training.ts";
import { VOCABULARY } from "./examples.ts";

/** A model with random weights, from fields of its `config.json`. */
export async function fullModel(
  device: Device,
  config: Readonly<Record<string, unknown>>,
  options: BatchOptions,
): Promise<BatchModel> {
  const parsed = parseConfig({
    model_type: "llama",
    hidden_size: 16,
    intermediate_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: VOCABULARY,
    max_position_embeddings: 64,
    ...config,
  }, "model");
  const space = new ParameterSpace(device, fullParameterShapes(parsed));
  const model = await loadLanguageModel(device, new RandomModel(parsed, 3, 0.4), space);
  return new BatchModel(model, options);
}
