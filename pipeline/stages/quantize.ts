/**
 * `quantize`: a full-precision model in, the same model with quantized linear layers out. With
 * `method: none` it stands for the unquantized model, so that the baseline row of a table is a cell
 * like any other; with `method: checkpoint` for a model that another program quantized.
 *
 * @module
 */

import { z } from "zod";
import type { CalibrationRun } from "../calibration/calibrate.ts";
import type { CalibrationNeeds, LayerCalibration } from "../calibration/layer_calibration.ts";
import {
  CALIBRATION,
  type CalibrationOptions,
  calibrationSources,
} from "../calibration/options.ts";
import { outputError } from "../calibration/output_error.ts";
import { rehearseCalibration } from "../calibration/rehearse.ts";
import { collectGarbage } from "../environment/garbage.ts";
import { UserError } from "../errors.ts";
import type { Stage } from "../graph/stage.ts";
import { below } from "../memory/settings.ts";
import { type LinearShape, modelLinears } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";
import { ModelFolder, type QuantizationConfig } from "../models/model_folder.ts";
import { copyPlainTensors, ModelWriter, plainOutlines } from "../models/model_writer.ts";
import {
  formatBytes,
  weightOutlines,
  weightParts,
  weightTensors,
} from "../models/quantized_tensors.ts";
import { dequantizeHost, weightBytes } from "../formats/host_weight.ts";
import { jointNeeds, MEASURED, runCalibration } from "./calibration_run.ts";
import { preprocessorFor, preprocessorSchema } from "../preprocessors/registry.ts";
import { inputOutline, plainOutline, readOutline } from "./outline.ts";
import { quantizerChoiceSchema, quantizerFor } from "../quantizers/registry.ts";
import { checkpointProblems, forecastCheckpoint, takeCheckpoint } from "./quantize_checkpoint.ts";

const parameters = z.strictObject({
  model: z.string().optional()
    .describe(
      "Folder of a Hugging Face model (config.json and safetensors), unless `from` names one.",
    ),
  quantizer: quantizerChoiceSchema,
  preprocess: preprocessorSchema.optional()
    .describe("Changes the weights before they are quantized."),
  calibration: CALIBRATION.optional()
    .describe("Text that the model reads, for methods that look at the inputs of layers."),
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
  dependsOn: ({ calibration }) => ({
    seed: calibration !== undefined && calibration.seed === undefined,
    device: calibration !== undefined,
  }),
  sources: ({ model, calibration }) => [
    ...(model === undefined ? [] : [{ reference: model, path: "model" }]),
    ...calibrationSources(calibration),
  ],
  check(options, upstream) {
    const { model, quantizer, preprocess, calibration } = options;
    const problems = [];
    if ((model === undefined) === (upstream.length === 0)) {
      problems.push({
        path: "model",
        message: model === undefined
          ? "There is no model to quantize; give `model: path/to/folder`, or `from:` a node that makes one"
          : "Both `model` and `from` are given; give the one to quantize",
      });
    }
    if (quantizer.method === "checkpoint") {
      return [...problems, ...checkpointProblems(options, upstream)];
    }
    if (calibration === undefined && needsOf(options) !== null) {
      const quantizes = needsOf({ quantizer }) !== null;
      problems.push({
        path: quantizes ? "quantizer.method" : "preprocess.method",
        message: (quantizes
          ? `The quantizer ${quantizer.method}`
          : `The preprocessor ${preprocess?.method}`) +
          " looks at the inputs of layers; add `calibration: { data: { text: path/to/text } }`",
      });
    }
    return problems;
  },
  memorySettings: [
    { path: "calibration.batch_size", smaller: below },
    {
      path: "quantizer.bits",
      smaller: (bits) => [8, 4, 3, 2].filter((fewer) => fewer < Number(bits)),
    },
  ],
  async forecast({ parameters, input, resolve }) {
    const { model, quantizer: options, calibration } = parameters;
    const folder = model === undefined
      ? null
      : (await resolve({ reference: model, path: "model" }))[0] ?? "";
    if (options.method === "checkpoint") return forecastCheckpoint(folder ?? "");
    const source = folder === null ? inputOutline(input).model : readOutline(folder);
    const format = quantizerFor(options).format(options);
    for (const { path, rows, columns } of modelLinears(source.config)) {
      const shapes = weightParts(format, rows, columns).map(({ shape }) => shape);
      if (shapes.flat().every(Number.isInteger)) continue;
      throw new UserError(
        `The blocks of ${quantizerFor(options).describe(options)} do not divide ${path}`,
      );
    }
    const after = { config: source.config, moduleFormat: () => format };
    return {
      outline: plainOutline(after),
      rehearse: (device) => {
        const { ledger } = device;
        ledger.take("host", "a layer", 4 * largestLinear(source.config));
        if (calibration !== undefined) {
          const replaced = calibration.activations === "quantized" ? after : null;
          rehearseCalibration(
            device,
            source,
            replaced,
            calibration,
            () => jointNeeds([MEASURED, needsOf(parameters)]),
            () => needsOf(parameters),
          );
        }
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
    const { parameters, input } = context;
    const { model, quantizer: options, preprocess, calibration } = parameters;
    const folder = model === undefined
      ? input?.folder ?? ""
      : (await context.resolve({ reference: model, path: "model" }))[0] ?? "";
    if (options.method === "checkpoint") return takeCheckpoint(context, folder);
    using source = ModelFolder.open(folder);
    if (source.quantization !== null) {
      throw new UserError(
        `${
          model ?? `"${input?.node}"`
        } is quantized already; give the unquantized model, or take ` +
          "its codes as they are with `quantizer: { method: checkpoint }`",
      );
    }
    const quantizer = quantizerFor(options);
    const format = quantizer.format(options);
    const needs = () => jointNeeds([MEASURED, needsOf(parameters)]);
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
    let parameterBits = 0;
    let weights = 0;
    let done = 0;
    const device = calibration === undefined ? null : await context.device();
    const quantizeLayer = async (linear: LinearShape, inputs?: LayerCalibration) => {
      context.signal.throwIfAborted();
      collectGarbage();
      context.report({ activity: `quantizing ${linear.path}`, done, total: linears.length });
      const { rows, columns, path } = linear;
      const dense = memory.subarray(0, rows * columns);
      source.readWeight(linear, dense);
      const layer = {
        ...{ path, rows, columns, format },
        ...(inputs === undefined || device === null ? {} : { calibration: { inputs, device } }),
      };
      const prepared = preprocess === undefined
        ? dense
        : await preprocessorFor(preprocess).preprocess(dense, layer, preprocess);
      const weight = quantizer.quantize(
        prepared,
        rows,
        columns,
        options,
        path,
        inputs,
        context.remark,
      );
      for (const { name, values } of weightTensors(path, weight)) writer.write(name, values);
      bytes += weightBytes(weight);
      parameterBits += rows * columns * (quantizer.parameterBits?.(weight, options) ?? 0);
      weights += rows * columns;
      done++;
      return weight;
    };
    const facts: Record<string, string | number> = {};
    let error = 0;
    if (calibration === undefined || device === null) {
      for (const linear of linears) await quantizeLayer(linear);
    } else {
      const visit = async (linear: LinearShape, inputs?: LayerCalibration) => {
        const weight = await quantizeLayer(linear, inputs);
        const dense = memory.subarray(0, linear.rows * linear.columns);
        if (inputs !== undefined) {
          error += await outputError(device, inputs.gram, dense, dequantizeHost(weight));
        }
        return weight;
      };
      const replace = replacement(calibration);
      Object.assign(
        facts,
        await runCalibration(context, calibration, { source, needs, visit, replace }),
      );
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
      metrics: {
        ...(quantized ? { bits_per_weight: { value: 8 * bytes / weights } } : {}),
        ...(quantizer.parameterBits === undefined ? {} : {
          parameter_bits_per_weight: {
            value: parameterBits / weights,
            protocol: "codes and signs only",
          },
        }),
        ...(calibration === undefined ? {} : {
          calibrated_error: { value: error / linears.length, protocol: "mean over layers" },
        }),
      },
      facts: {
        quantizer: quantizer.describe(options),
        quantized_weights: weights,
        ...(preprocess === undefined ? {} : { preprocess: preprocess.method }),
        ...facts,
      },
    };
  },
};

/** What the methods of the stage read of a layer's inputs; null if nothing. */
function needsOf(
  { quantizer, preprocess }: Pick<QuantizeParameters, "quantizer" | "preprocess">,
): CalibrationNeeds | null {
  return jointNeeds([
    quantizer.method === "checkpoint" ? null : quantizerFor(quantizer).calibration?.(quantizer),
    preprocess && preprocessorFor(preprocess).calibration?.(preprocess),
  ]);
}

/** When quantized layers take the place of the model's own. */
function replacement(
  { activations, true_sequential }: CalibrationOptions,
): NonNullable<CalibrationRun["replace"]> {
  if (activations === "full") return "never";
  return true_sequential ? "within_blocks" : "between_blocks";
}

/** Weights of the largest linear layer. */
function largestLinear(config: ModelConfig): number {
  return Math.max(...modelLinears(config).map(({ rows, columns }) => rows * columns));
}
