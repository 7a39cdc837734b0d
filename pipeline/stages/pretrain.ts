/**
 * `pretrain`: a model from nothing but a shape, a text and a seed, with a tokenizer of its own.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { trainByteLevelBpe } from "../data/byte_level_bpe.ts";
import { dataSources } from "../data/data_sources.ts";
import { readDocuments, TEXT_DATA } from "../data/text.ts";
import { UserError } from "../errors.ts";
import type { Stage, StageContext } from "../graph/stage.ts";
import { parseConfig } from "../models/config.ts";
import { WEIGHT_DTYPES } from "../models/model_writer.ts";
import { RandomModel } from "../models/random_model.ts";
import { checkTrainingOptions } from "../training/options.ts";
import { writeTrainedWeights } from "./full_training.ts";
import { plainOutline } from "./outline.ts";
import {
  incidentalTrainingParameters,
  rehearseTraining,
  runTraining,
  trainingMemorySettings,
  trainingParameters,
  trainingSources,
} from "./training_run.ts";

const parameters = z.strictObject({
  config: z.record(z.string(), z.unknown())
    .describe("Fields of config.json: hidden_size, num_hidden_layers and so on."),
  tokenizer: z.strictObject({
    vocab_size: z.int().min(258).describe("Tokens of the byte-level BPE to be trained."),
    data: TEXT_DATA.optional().describe("Text to train it on; default: the training data."),
  }),
  dtype: z.enum(["f32", "f16", "bf16"]).default("f16").describe("Width of the stored weights."),
  ...trainingParameters,
  data: TEXT_DATA.describe("What to train on."),
});

/** Parameters of {@linkcode pretrain}. */
export type PretrainParameters = z.output<typeof parameters>;

/** See the module documentation. */
export const pretrain: Stage<PretrainParameters> = {
  name: "pretrain",
  version: 1,
  summary: "Train a model and its tokenizer from scratch",
  parameters,
  accepts: [],
  produces: "model",
  dependsOn: () => ({ seed: true, device: true }),
  incidental: incidentalTrainingParameters,
  sources: (parameters) => [
    ...trainingSources(parameters),
    ...(parameters.tokenizer.data === undefined
      ? []
      : dataSources(parameters.tokenizer.data, "tokenizer.data")),
  ],
  check(parameters) {
    const problems = checkTrainingOptions(parameters);
    try {
      parseConfig(configOf(parameters), "config.json");
      return problems;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return [...problems, { path: "config", message: `As ${error.message}` }];
    }
  },
  memorySettings: trainingMemorySettings,
  // deno-lint-ignore require-await -- other stages read files here
  async forecast({ parameters }) {
    const config = parseConfig(configOf(parameters), "config.json");
    const outline = plainOutline({ config, moduleFormat: () => null });
    return {
      outline,
      rehearse: (device) =>
        rehearseTraining(device, { source: outline.model, adapter: null }, parameters),
    };
  },
  async run(context) {
    const { parameters, seed, folder } = context;
    await prepareFolder(context);
    const source = new RandomModel(parseConfig(configOf(parameters), "config.json"), seed);
    return await runTraining(
      context,
      { source, adapter: null, tokenizerFolder: folder },
      (model) => writeTrainedWeights(folder, model, folder, WEIGHT_DTYPES[parameters.dtype]),
    );
  },
};

/** Everything but weights: the tokenizer, and `config.json` as far as the parameters decide it. */
async function prepareFolder(context: StageContext<PretrainParameters>): Promise<void> {
  const { parameters, folder } = context;
  const { tokenizer: { vocab_size, data }, data: trainingData } = parameters;
  context.report({ activity: "training the tokenizer" });
  const texts = await readDocuments(
    data ?? trainingData,
    (reference) => context.resolve({ reference, path: "tokenizer.data" }),
  );
  const files = trainByteLevelBpe(texts, { vocabSize: vocab_size });
  await writeJson(join(folder, "tokenizer.json"), files.tokenizer);
  await writeJson(join(folder, "tokenizer_config.json"), files.config);
  await writeJson(join(folder, "config.json"), configOf(parameters));
}

function configOf({ config, tokenizer }: PretrainParameters): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    bos_token_id: 0,
    eos_token_id: 1,
    ...config,
    vocab_size: tokenizer.vocab_size,
  };
}

function writeJson(file: string, value: unknown): Promise<void> {
  return Deno.writeTextFile(file, JSON.stringify(value, null, 1) + "\n");
}
