/**
 * What a GPTQ checkpoint says of itself, in `quantize_config.json` and under `quantization_config` in
 * `config.json`: the keys of AutoGPTQ and GPTQModel.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import { GPTQ_BITS, type GptqBits, type GptqFormat } from "./gptq.ts";

/** The other place of the object that {@linkcode parseGptqConfig} reads. */
export const GPTQ_CONFIG_FILE = "quantize_config.json";

/** How a checkpoint was quantized. */
export interface GptqConfig {
  /** Width of a code. */
  readonly bits: GptqBits;
  /** Inputs that share a scale; null for all inputs of an output. */
  readonly groupSize: number | null;
  /** Whether zero points are all in the middle of the codes. */
  readonly symmetric: boolean;
  /** Whether inputs were quantized in the order of their activations. */
  readonly ordered: boolean;
  /** How zero points are stored. */
  readonly format: GptqFormat;
}

const schema = z.object({
  bits: z.int(),
  group_size: z.union([z.literal(-1), z.int().positive()]),
  sym: z.boolean().default(true),
  desc_act: z.boolean().default(false),
  lm_head: z.boolean().nullish(),
  checkpoint_format: z.string().nullish(),
  /** GPTQModel's newer name of the same. */
  format: z.string().nullish(),
  is_marlin_format: z.boolean().nullish(),
  pack_dtype: z.string().nullish(),
  dynamic: z.record(z.string(), z.unknown()).nullish(),
});

/**
 * Reads the object.
 *
 * @param file Where it stands, for messages.
 * @throws {UserError} If a field is missing or malformed, or says something that this version does not
 * read, naming the field.
 *
 * @example
 * ```ts
 * import { parseGptqConfig } from "./gptq_config.ts";
 *
 * const json = { quant_method: "gptq", bits: 4, group_size: 128, desc_act: false, sym: true };
 * if (parseGptqConfig(json, "config.json").format !== "gptq") throw new Error("version 1");
 * ```
 */
export function parseGptqConfig(json: unknown, file: string): GptqConfig {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    throw new UserError(
      `${file}: the configuration of a GPTQ checkpoint is malformed: ${
        z.prettifyError(parsed.error)
      }`,
    );
  }
  const config = parsed.data;
  const refuse = (field: string, wanted: string): never => {
    const found = JSON.stringify(config[field as keyof typeof config]);
    throw new UserError(`${file}: ${field} is ${found}, and this version reads ${wanted}`);
  };
  const bits = GPTQ_BITS.find((bits) => bits === config.bits) ??
    refuse("bits", `codes of ${GPTQ_BITS.join(", ")} bits`);
  const named = config.checkpoint_format === null || config.checkpoint_format === undefined
    ? "format"
    : "checkpoint_format";
  const format = config.is_marlin_format === true
    ? refuse("is_marlin_format", '"gptq" and "gptq_v2"; convert the checkpoint back from marlin')
    : config[named] ?? "gptq";
  if (format !== "gptq" && format !== "gptq_v2") return refuse(named, '"gptq" and "gptq_v2"');
  if ((config.pack_dtype ?? "int32") !== "int32") refuse("pack_dtype", '"int32"');
  if (config.lm_head === true) refuse("lm_head", "checkpoints whose head is not quantized");
  const overrides = Object.keys(config.dynamic ?? {});
  if (overrides.length > 0) {
    throw new UserError(
      `${file}: dynamic gives layers of their own settings ("${overrides[0]}"${
        overrides.length > 1 ? ` and ${overrides.length - 1} more` : ""
      }), and this version reads checkpoints with one setting for all layers`,
    );
  }
  return {
    bits,
    groupSize: config.group_size === -1 ? null : config.group_size,
    symmetric: config.sym,
    ordered: config.desc_act,
    format,
  };
}

/**
 * The object for a checkpoint, under the names that readers of the field know.
 *
 * @param producer What made it ("equipoise:1.0").
 */
export function gptqConfigJson(
  { bits, groupSize, symmetric, ordered, format }: GptqConfig,
  producer: string,
): Record<string, unknown> {
  return {
    bits,
    group_size: groupSize ?? -1,
    sym: symmetric,
    desc_act: ordered,
    static_groups: false,
    true_sequential: true,
    lm_head: false,
    quant_method: "gptq",
    checkpoint_format: format,
    pack_dtype: "int32",
    meta: { quantizer: [producer] },
  };
}
