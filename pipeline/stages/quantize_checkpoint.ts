/**
 * `quantizer: { method: checkpoint }`: the codes of a folder that is quantized already, in the layout
 * that all other stages read. Nothing is rounded.
 *
 * @module
 */

import { collectGarbage } from "../environment/garbage.ts";
import { DTYPE_BYTES, elementCount } from "../formats/safetensors_header.ts";
import type { Forecast, StageContext, StageOutcome, UpstreamStage } from "../graph/stage.ts";
import { type LinearShape, modelLinears } from "../models/architecture.ts";
import { CheckpointFolder } from "../models/checkpoint_folder.ts";
import { copyPlainTensors, ModelWriter, plainOutlines } from "../models/model_writer.ts";
import {
  formatBytes,
  type TensorOutline,
  weightOutlines,
  weightTensors,
} from "../models/quantized_tensors.ts";
import type { QuantizationConfig } from "../models/model_folder.ts";
import { plainOutline } from "./outline.ts";

/** What is wrong with the parameters of such a stage. */
export function checkpointProblems(
  { preprocess, calibration }: {
    readonly preprocess?: unknown;
    readonly calibration?: unknown;
  },
  upstream: readonly UpstreamStage[],
): { path: string; message: string }[] {
  const problems = [];
  if (upstream.length > 0) {
    problems.push({
      path: "quantizer.method",
      message: "The method checkpoint takes the codes of a folder, but the stage reads another " +
        "node; give the folder with `model:`",
    });
  }
  for (const [path, given] of Object.entries({ preprocess, calibration })) {
    if (given === undefined) continue;
    problems.push({
      path,
      message: "The method checkpoint takes codes as they are, so nothing is quantized; leave " +
        `${path} out`,
    });
  }
  return problems;
}

/** The memory of such a stage, and what it leaves. */
export function forecastCheckpoint(folder: string): Forecast {
  using source = CheckpointFolder.open(folder);
  const { config } = source;
  const formats = new Map(
    modelLinears(config).map(({ path }) => [path, source.moduleFormat(path)]),
  );
  const moduleFormat = (path: string) => formats.get(path) ?? null;
  return {
    outline: plainOutline({ config, moduleFormat }),
    rehearse: ({ ledger }) => {
      for (const { path, rows, columns } of modelLinears(config)) {
        const bytes = formatBytes(moduleFormat(path), rows, columns);
        ledger.take("host", "a layer, stored and packed", 2 * bytes + rows * columns).drop();
      }
    },
  };
}

/**
 * Runs such a stage.
 *
 * @throws {UserError} If the folder is not quantized, or in a way that this version does not read.
 */
export async function takeCheckpoint(
  context: Pick<StageContext<unknown>, "folder" | "report" | "remark" | "signal">,
  folder: string,
): Promise<StageOutcome> {
  using source = CheckpointFolder.open(folder);
  for (const remark of source.remarks) context.remark(remark);
  const linears = modelLinears(source.config);
  const outlines = (linear: LinearShape): TensorOutline[] => {
    const format = source.moduleFormat(linear.path);
    const width = format === null ? source.model.keptDtype(`${linear.path}.weight`) : undefined;
    return weightOutlines(linear, format, width);
  };
  using writer = new ModelWriter(context.folder, [
    ...linears.flatMap(outlines),
    ...plainOutlines(source.model),
  ]);
  const modules: QuantizationConfig["modules"] = {};
  let weights = 0;
  let bytes = 0;
  for (const [done, linear] of linears.entries()) {
    context.signal.throwIfAborted();
    collectGarbage();
    context.report({ activity: `reading ${linear.path}`, done, total: linears.length });
    const weight = await source.weight(linear);
    for (const { name, values } of weightTensors(linear.path, weight)) writer.write(name, values);
    const format = source.moduleFormat(linear.path);
    if (format === null) continue;
    modules[linear.path] = format;
    weights += linear.rows * linear.columns;
    bytes += outlines(linear)
      .reduce((sum, { dtype, shape }) => sum + DTYPE_BYTES[dtype] * elementCount(shape), 0);
  }
  await copyPlainTensors(source.model, writer);
  const { quantization_config: _, ...config } = source.model.json;
  await writer.finish(
    {
      ...config,
      tie_word_embeddings: source.config.tied,
      quantization_config: { quant_method: "equipoise", modules, ...source.merged },
    },
    folder,
  );
  return {
    metrics: { bits_per_weight: { value: 8 * bytes / weights } },
    facts: { quantizer: source.description, quantized_weights: weights },
  };
}
