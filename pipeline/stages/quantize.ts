/**
 * `quantize`: a full-precision model in, the same model with quantized linear layers out. With
 * `method: none` it stands for the unquantized model, so that the baseline row of a table is a cell
 * like any other.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Stage } from "../graph/stage.ts";
import { modelLinears } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";
import { ModelFolder, type QuantizationConfig } from "../models/model_folder.ts";
import { copyPlainTensors, ModelWriter, plainOutlines } from "../models/model_writer.ts";
import { formatBytes, weightOutlines, weightTensors } from "../models/quantized_tensors.ts";
import { weightBytes } from "../formats/host_weight.ts";
import { inputOutline, plainOutline, readOutline } from "./outline.ts";
import { quantizerFor, quantizerSchema } from "../quantizers/registry.ts";

const parameters = z.strictObject({
  model: z.string().optional()
    .describe(
      "Folder of a Hugging Face model (config.json and safetensors), unless `from` names one.",
    ),
  quantizer: quantizerSchema,
});

/** Parameters of {@linkcode quantize}. */
export type QuantizeParameters = z.output<typeof parameters>;

/** See the module documentation. */
export const quantize: Stage<QuantizeParameters> = {
  name: "quantize",
  version: 1,
  summary: "Quantize the linear layers of a model",
  parameters,
  accepts: ["model"],
  fromIsOptional: true,
  produces: "model",
  dependsOn: () => ({ seed: false, device: false }),
  sources: ({ model }) => model === undefined ? [] : [{ reference: model, path: "model" }],
  check({ model }, upstream) {
    if ((model === undefined) !== (upstream.length === 0)) return [];
    return [{
      path: "model",
      message: model === undefined
        ? "There is no model to quantize; give `model: path/to/folder`, or `from:` a node that makes one"
        : "Both `model` and `from` are given; give the one to quantize",
    }];
  },
  memorySettings: [{
    path: "quantizer.bits",
    smaller: (bits) => [8, 4, 3, 2].filter((fewer) => fewer < Number(bits)),
  }],
  async forecast({ parameters: { model, quantizer: options }, input, resolve }) {
    const source = model === undefined
      ? inputOutline(input).model
      : readOutline((await resolve({ reference: model, path: "model" }))[0] ?? "");
    const format = quantizerFor(options).format(options);
    for (const { path, rows, columns } of modelLinears(source.config)) {
      if (Number.isInteger(formatBytes(format, rows, columns))) continue;
      throw new UserError(
        `The blocks of ${quantizerFor(options).describe(options)} do not divide ${path}`,
      );
    }
    return {
      outline: plainOutline({ config: source.config, moduleFormat: () => format }),
      rehearse: ({ ledger }) => {
        ledger.take("host", "a layer", 4 * largestLinear(source.config));
        for (const { rows, columns } of modelLinears(source.config)) {
          // One byte for each code before they are packed.
          const unpacked = format === null
            ? 0
            : rows * columns + formatBytes(format, rows, columns);
          ledger.take("host", "its codes", unpacked).drop();
        }
      },
    };
  },
  async run(context) {
    const { parameters: { model, quantizer: options }, input } = context;
    const folder = model === undefined
      ? input?.folder ?? ""
      : (await context.resolve({ reference: model, path: "model" }))[0] ?? "";
    using source = ModelFolder.open(folder);
    if (source.quantization !== null) {
      throw new UserError(
        `${model ?? `"${input?.node}"`} is quantized already; give the unquantized model`,
      );
    }
    const quantizer = quantizerFor(options);
    const format = quantizer.format(options);
    const linears = modelLinears(source.config);
    using writer = new ModelWriter(context.folder, [
      ...linears.flatMap((linear) =>
        weightOutlines(linear, format, source.keptDtype(`${linear.path}.weight`))
      ),
      ...plainOutlines(source),
    ]);
    // One layer at a time, all in the same place.
    const memory = new Float32Array(largestLinear(source.config));
    let bytes = 0;
    let weights = 0;
    for (const [done, linear] of linears.entries()) {
      context.signal.throwIfAborted();
      context.report({ activity: `quantizing ${linear.path}`, done, total: linears.length });
      const { rows, columns, path } = linear;
      const dense = memory.subarray(0, rows * columns);
      source.readWeight(linear, dense);
      const weight = quantizer.quantize(dense, rows, columns, options, path);
      for (const { name, values } of weightTensors(path, weight)) writer.write(name, values);
      bytes += weightBytes(weight);
      weights += rows * columns;
    }
    await copyPlainTensors(source, writer);
    const modules: QuantizationConfig["modules"] = format === null
      ? {}
      : Object.fromEntries(linears.map(({ path }) => [path, format]));
    const quantized = format !== null;
    const { quantization_config: _, ...config } = source.json;
    await writer.finish(
      {
        ...config,
        tie_word_embeddings: source.config.tied,
        ...(quantized ? { quantization_config: { quant_method: "equipoise", modules } } : {}),
      },
      folder,
    );
    return {
      metrics: quantized ? { bits_per_weight: { value: 8 * bytes / weights } } : {},
      facts: { quantizer: quantizer.describe(options), quantized_weights: weights },
    };
  },
};

/** Weights of the largest linear layer. */
function largestLinear(config: ModelConfig): number {
  return Math.max(...modelLinears(config).map(({ rows, columns }) => rows * columns));
}
