/**
 * Writing a quantized model folder as a GPTQ checkpoint, which other programs of the field load.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../errors.ts";
import { type GptqFormat, toGptq } from "../formats/gptq.ts";
import { GPTQ_CONFIG_FILE, type GptqConfig, gptqConfigJson } from "../formats/gptq_config.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { type LinearShape, modelLinears } from "./architecture.ts";
import type { ModelFolder } from "./model_folder.ts";
import { copyPlainTensors, ModelWriter, plainOutlines } from "./model_writer.ts";
import { type TensorOutline, weightOutlines, weightTensors } from "./quantized_tensors.ts";

/** How to write a checkpoint. */
export interface GptqWriterOptions {
  /** How zero points are stored: `gptq` for most readers, `gptq_v2` for GPTQModel. */
  readonly format: GptqFormat;
  /** What `meta.quantizer` says ("equipoise:1.0"). */
  readonly producer: string;
}

/** What was lost on the way. */
export interface GptqWritten {
  /** Largest relative change of a scale by its rounding to f16. */
  readonly scaleRounding: number;
}

/**
 * Writes a model whose linear layers have integer codes of one width in groups of one size. Codes and
 * zero points are kept as they are; scales are rounded to f16.
 *
 * @param folder An existing folder.
 * @throws {UserError} If the format cannot hold a layer, or layers differ in width or group size.
 */
export async function writeGptqModel(
  source: ModelFolder,
  folder: string,
  options: GptqWriterOptions,
): Promise<GptqWritten> {
  const linears = modelLinears(source.config);
  const config = await configOf(source, linears, options.format);
  using writer = new ModelWriter(folder, [
    ...linears.flatMap((linear) => outlinesOf(source, linear, config)),
    ...plainOutlines(source),
  ]);
  let scaleRounding = 0;
  for (const linear of linears) {
    const { path } = linear;
    const weight = await source.weight(linear);
    if (weight.format === "dense") {
      for (const { name, values } of weightTensors(path, weight)) writer.write(name, values);
      continue;
    }
    const { qweight, qzeros, scales, groups } = toGptq(
      integerOf(weight, path),
      config.format,
      path,
    );
    for (const scale of scales) {
      scaleRounding = Math.max(scaleRounding, Math.abs(Math.f16round(scale) / scale - 1));
    }
    writer.write(`${path}.qweight`, new Int32Array(qweight.buffer));
    writer.write(`${path}.qzeros`, new Int32Array(qzeros.buffer));
    writer.write(`${path}.scales`, scales);
    writer.write(`${path}.g_idx`, groups);
  }
  await copyPlainTensors(source, writer);
  const json = gptqConfigJson(config, options.producer);
  await Deno.writeTextFile(join(folder, GPTQ_CONFIG_FILE), JSON.stringify(json, null, 2) + "\n");
  await writer.finish({ ...source.json, quantization_config: json }, source.folder);
  return { scaleRounding };
}

function integerOf(weight: HostWeight, path: string) {
  if (weight.format === "integer" || weight.format === "ordered") return weight;
  throw new UserError(
    `Cannot write ${path} as a GPTQ checkpoint: its weight is ${weight.format}; wanted integer codes ` +
      `with a scale and a zero point for each group, as rtn and gptq make`,
  );
}

/** The one configuration of all layers. */
async function configOf(
  source: ModelFolder,
  linears: readonly LinearShape[],
  format: GptqFormat,
): Promise<GptqConfig> {
  const widths = new Set<number>();
  const sizes = new Set<number | null>();
  let [symmetric, ordered, wholeRows] = [true, false, true];
  for (const linear of linears) {
    if (source.moduleFormat(linear.path) === null) continue;
    const { bits, blockColumns, zeros, format } = integerOf(
      await source.weight(linear),
      linear.path,
    );
    widths.add(bits);
    sizes.add(blockColumns);
    wholeRows &&= blockColumns === linear.columns;
    symmetric &&= zeros.every((zero) => zero === 2 ** (bits - 1));
    ordered ||= format === "ordered";
  }
  const [bits] = widths;
  const [size] = wholeRows ? [null] : sizes;
  if (widths.size !== 1 || (sizes.size !== 1 && !wholeRows) || size === undefined) {
    throw new UserError(
      `Cannot write ${source.folder} as a GPTQ checkpoint: its layers have codes of ` +
        `${[...widths].join(", ") || "no"} bits in groups of ${
          [...sizes].join(", ") || "no"
        } inputs; ` +
        `the format has one width and one group size for all`,
    );
  }
  // Widths that the format does not have are refused where codes are packed.
  return { bits: bits as GptqConfig["bits"], groupSize: size, symmetric, ordered, format };
}

function outlinesOf(
  source: ModelFolder,
  linear: LinearShape,
  { bits, groupSize }: GptqConfig,
): TensorOutline[] {
  const { path, rows, columns } = linear;
  if (source.moduleFormat(path) === null) {
    return weightOutlines(linear, null, source.keptDtype(`${path}.weight`));
  }
  const groups = columns / (groupSize ?? columns);
  return [
    { name: `${path}.qweight`, dtype: "I32", shape: [columns * bits / 32, rows] },
    { name: `${path}.qzeros`, dtype: "I32", shape: [groups, rows * bits / 32] },
    { name: `${path}.scales`, dtype: "F16", shape: [groups, rows] },
    { name: `${path}.g_idx`, dtype: "I32", shape: [columns] },
  ];
}
