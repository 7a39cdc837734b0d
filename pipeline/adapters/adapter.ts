/**
 * An adapter in host memory and its folder in the store: the matrices in `adapter_model.safetensors`
 * under PEFT's names, and `adapter.json` with the shape and scale of every layer's pair.
 *
 * A plain LoRA adapter gets PEFT's `adapter_config.json` too, and loads there as it is. The pooled
 * forms do not: PEFT would read their matrices and compute something else.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJson } from "../formats/files.ts";
import { type PeftConfig, writePeftAdapter } from "../formats/peft.ts";
import { SafetensorsFile, SafetensorsWriter } from "../formats/safetensors.ts";
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
  /** Convention of pooling, for readers: `scale` of every module is stated for averages. */
  readonly pooling: "average" | "sum";
  /**
   * Key of the base in the store: of a model, or of an adapter that brings its own base; null if this
   * adapter brings it.
   */
  readonly base: string | null;
  /** Configuration of a plain LoRA; null for pooled forms. */
  readonly peft: PeftConfig | null;
}

/** An adapter: its description and, by path of the linear layer, its matrices. */
export interface HostAdapter {
  readonly description: AdapterDescription;
  readonly modules: ReadonlyMap<string, HostModule>;
}

const DESCRIPTION_FILE = "adapter.json";
const TENSORS_FILE = "adapter_model.safetensors";

const fileSchema = z.strictObject({
  format: z.literal("equipoise/adapter"),
  form: z.string(),
  pooling: z.enum(["average", "sum"]),
  base: z.string().nullable(),
  peft: z.looseObject({
    r: z.number(),
    lora_alpha: z.number(),
    target_modules: z.union([z.string(), z.array(z.string())]),
  }).nullable(),
  modules: z.record(
    z.string(),
    z.strictObject({
      pool: z.int().positive(),
      repeat: z.int().positive(),
      rank: z.int().positive(),
      scale: z.number(),
      a: z.tuple([z.int(), z.int()]).nullable(),
      b: z.tuple([z.int(), z.int()]),
    }),
  ),
});

/** Writes an adapter into an existing folder. */
export async function writeAdapter(folder: string, adapter: HostAdapter): Promise<void> {
  const { description: { form, pooling, base, peft }, modules } = adapter;
  if (peft === null) writeTensors(folder, modules);
  else writePeftAdapter(folder, { config: peft, modules: loraFactors(modules) });
  const file: z.input<typeof fileSchema> = {
    format: "equipoise/adapter",
    form,
    pooling,
    base,
    peft: peft === null ? null : { ...peft },
    modules: Object.fromEntries(
      [...modules].map(([path, { shape }]) => [
        path,
        { ...shape, a: shape.a === null ? null : [...shape.a], b: [...shape.b] },
      ]),
    ),
  };
  await Deno.writeTextFile(join(folder, DESCRIPTION_FILE), JSON.stringify(file, null, 2) + "\n");
}

function writeTensors(folder: string, modules: HostAdapter["modules"]): void {
  const tensors = [...modules].flatMap(([path, { shape, a, b }]) => [
    ...(a === null || shape.a === null
      ? []
      : [{ name: factorName(path, "A"), shape: shape.a, values: a }]),
    { name: factorName(path, "B"), shape: shape.b, values: b },
  ]);
  using writer = SafetensorsWriter.create(
    join(folder, TENSORS_FILE),
    tensors.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape })),
  );
  for (const { name, values } of tensors) writer.write(name, values);
  writer.finish();
}

function loraFactors(modules: HostAdapter["modules"]) {
  return new Map(
    [...modules].map(([path, { shape: { rank, scale, a: shapeA, b: shapeB }, a, b }]) => {
      if (a === null || shapeA === null) throw new RangeError(`${path} has no pair of factors`);
      return [path, { rank, scale, inputs: shapeA[1], outputs: shapeB[0], a, b }];
    }),
  );
}

function factorName(path: string, factor: "A" | "B"): string {
  return `base_model.model.${path}.lora_${factor}.weight`;
}

/**
 * Reads an adapter that {@linkcode writeAdapter} wrote.
 *
 * @throws {UserError} If a file is missing or malformed, or a tensor does not have its shape.
 */
export function readAdapter(folder: string): HostAdapter {
  const file = join(folder, DESCRIPTION_FILE);
  const parsed = fileSchema.safeParse(readJson(file, "an adapter folder"));
  if (!parsed.success) {
    throw new UserError(`${file} is malformed: ${z.prettifyError(parsed.error)}`);
  }
  const { form, pooling, base, peft, modules: shapes } = parsed.data;
  using tensors = SafetensorsFile.open(join(folder, TENSORS_FILE));
  const read = (name: string, shape: readonly [number, number]): Float32Array => {
    const found = tensors.tensors.get(name)?.shape;
    if (found === undefined || found.join() !== shape.join()) {
      throw new UserError(
        `${folder}: tensor "${name}" is ${found === undefined ? "missing" : `[${found}]`}, but ` +
          `${DESCRIPTION_FILE} wants [${shape}]`,
      );
    }
    return tensors.readFloats(name);
  };
  const modules = new Map<string, HostModule>();
  for (const [path, shape] of Object.entries(shapes)) {
    modules.set(path, {
      shape,
      a: shape.a === null ? null : read(factorName(path, "A"), shape.a),
      b: read(factorName(path, "B"), shape.b),
    });
  }
  return { description: { form, pooling, base, peft }, modules };
}
