/**
 * An adapter in host memory and its folder on disk: `adapter_config.json` and
 * `adapter_model.safetensors` as PEFT lays them out. A plain LoRA adapter loads in PEFT as it is; the
 * pooled forms carry a `peft_type` of their own, so that PEFT refuses them instead of misreading them.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { SafetensorsFile, SafetensorsWriter } from "../formats/safetensors.ts";
import { readJson } from "../models/model_folder.ts";
import type { AdapterShape } from "./plan.ts";

/** The adapter of one linear layer. */
export interface HostModule {
  readonly shape: AdapterShape;
  /** `[rank, columns / pool]`. */
  readonly a: Float32Array | null;
  /** `[rows / repeat, rank]`. */
  readonly b: Float32Array;
}

/** What describes an adapter as a whole. */
export interface AdapterDescription {
  readonly form: string;
  /** Nominal rank and alpha, as configured. */
  readonly rank: number;
  readonly alpha: number;
  readonly rankStabilized: boolean;
  readonly pooling: "average" | "sum";
  /** Key of the base model in the store, or its path. */
  readonly base: string;
  readonly targets: readonly string[];
}

/** An adapter: its description and, by path of the linear layer, its matrices. */
export interface HostAdapter {
  readonly description: AdapterDescription;
  readonly modules: ReadonlyMap<string, HostModule>;
}

const CONFIG_FILE = "adapter_config.json";
const TENSORS_FILE = "adapter_model.safetensors";
const PREFIX = "base_model.model.";

/** `equipoise` in `adapter_config.json`. */
const ownSchema = z.object({
  form: z.string(),
  pooling: z.enum(["average", "sum"]),
  base: z.string(),
  modules: z.record(
    z.string(),
    z.object({
      pool: z.int().positive(),
      repeat: z.int().positive(),
      rank: z.int().positive(),
      scale: z.number(),
      a: z.tuple([z.int(), z.int()]).nullable(),
      b: z.tuple([z.int(), z.int()]),
    }),
  ),
});

const configSchema = z.object({
  r: z.number(),
  lora_alpha: z.number(),
  use_rslora: z.boolean().default(false),
  target_modules: z.array(z.string()),
  equipoise: ownSchema,
});

/** Writes an adapter into an existing folder. */
export async function writeAdapter(folder: string, adapter: HostAdapter): Promise<void> {
  const { description, modules } = adapter;
  const tensors: { name: string; shape: readonly number[]; values: Float32Array }[] = [];
  for (const [path, { shape, a, b }] of modules) {
    if (a !== null && shape.a !== null) {
      tensors.push({ name: `${PREFIX}${path}.lora_A.weight`, shape: shape.a, values: a });
    }
    tensors.push({ name: `${PREFIX}${path}.lora_B.weight`, shape: shape.b, values: b });
  }
  using writer = SafetensorsWriter.create(
    join(folder, TENSORS_FILE),
    tensors.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape })),
    { form: description.form, pooling: description.pooling },
  );
  for (const { name, values } of tensors) writer.write(name, values);
  writer.finish();
  const config = {
    peft_type: description.form === "lora" ? "LORA" : "EQUIPOISE_POOLED",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: description.base,
    inference_mode: true,
    r: description.rank,
    lora_alpha: description.alpha,
    lora_dropout: 0,
    use_rslora: description.rankStabilized,
    use_dora: false,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    rank_pattern: {},
    alpha_pattern: {},
    modules_to_save: null,
    target_modules: description.targets,
    equipoise: {
      form: description.form,
      pooling: description.pooling,
      base: description.base,
      modules: Object.fromEntries([...modules].map(([path, { shape }]) => [path, shape])),
    },
  };
  await Deno.writeTextFile(join(folder, CONFIG_FILE), JSON.stringify(config, null, 2) + "\n");
}

/**
 * Reads an adapter that {@linkcode writeAdapter} wrote.
 *
 * @throws {UserError} If a file is missing or malformed, or a tensor does not have its shape.
 */
export async function readAdapter(folder: string): Promise<HostAdapter> {
  const file = join(folder, CONFIG_FILE);
  const parsed = configSchema.safeParse(await readJson(file));
  if (!parsed.success) {
    throw new UserError(`${file} is malformed: ${z.prettifyError(parsed.error)}`);
  }
  const { equipoise, r, lora_alpha, use_rslora, target_modules } = parsed.data;
  using tensors = SafetensorsFile.open(join(folder, TENSORS_FILE));
  const read = (name: string, shape: readonly [number, number]): Float32Array => {
    const found = tensors.tensors.get(name)?.shape;
    if (found === undefined || found.join() !== shape.join()) {
      throw new UserError(
        `${folder}: tensor "${name}" is ${found === undefined ? "missing" : `[${found}]`}, but ` +
          `${CONFIG_FILE} wants [${shape}]`,
      );
    }
    return tensors.readFloats(name);
  };
  const modules = new Map<string, HostModule>();
  for (const [path, shape] of Object.entries(equipoise.modules)) {
    const name = `${PREFIX}${path}`;
    modules.set(path, {
      shape,
      a: shape.a === null ? null : read(`${name}.lora_A.weight`, shape.a),
      b: read(`${name}.lora_B.weight`, shape.b),
    });
  }
  return {
    description: {
      form: equipoise.form,
      pooling: equipoise.pooling,
      base: equipoise.base,
      rank: r,
      alpha: lora_alpha,
      rankStabilized: use_rslora,
      targets: target_modules,
    },
    modules,
  };
}
