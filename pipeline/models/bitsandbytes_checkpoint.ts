/**
 * Layers that bitsandbytes quantized to NF4, in a model folder: `path.weight` with the codes, and
 * `path.weight.absmax`, `path.weight.quant_map` and others that describe it.
 *
 * @module
 */

import { z } from "zod";
import { NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import {
  FP4_STATE,
  fromNf4,
  NF4_STATE,
  type Nf4State,
  parseNf4State,
} from "../formats/bitsandbytes.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { TensorSource } from "../formats/hugging_face.ts";
import { DTYPE_BYTES, elementCount } from "../formats/safetensors_header.ts";
import type { LinearShape } from "./architecture.ts";
import type { CheckpointLayout } from "./checkpoint_layout.ts";
import { expectShape } from "./weight_reader.ts";

const schema = z.object({
  load_in_4bit: z.boolean().optional(),
  load_in_8bit: z.boolean().optional(),
  bnb_4bit_quant_type: z.string().optional(),
});

/**
 * The layers of an open folder.
 *
 * @param json The `quantization_config`.
 * @param file Where it stands, for messages.
 * @throws {UserError} If the checkpoint is of 8 bits or FP4, or a layer's tensors are malformed.
 */
export function bitsandbytesLayout(
  tensors: TensorSource,
  json: unknown,
  file: string,
  linears: readonly LinearShape[],
): CheckpointLayout {
  const config = schema.safeParse(json);
  if (!config.success) {
    throw new UserError(
      `${file}: quantization_config is malformed: ${z.prettifyError(config.error)}`,
    );
  }
  if (config.data.load_in_8bit === true) refuseType(file, "8-bit integers (load_in_8bit)");
  if (config.data.bnb_4bit_quant_type === "fp4") refuseType(file, "FP4 (bnb_4bit_quant_type)");
  const states = new Map<string, Nf4State>();
  for (const linear of linears) {
    const { path, rows, columns } = linear;
    if (tensors.has(`${path}.weight.${FP4_STATE}`)) refuseType(`${path} in ${file}`, "FP4");
    const name = `${path}.weight.${NF4_STATE}`;
    if (!tensors.has(name)) continue;
    const where = `${tensors.folder}: tensor "${name}"`;
    const state = parseNf4State(tensors.readBytes(name), rows, columns, where);
    checkShapes(tensors, linear, state);
    states.set(path, state);
  }
  if (states.size === 0) {
    throw new UserError(
      `${file} says that bitsandbytes quantized the model, but no linear layer has NF4 codes with ` +
        `their description (path.weight.${NF4_STATE}); save it again with bitsandbytes 0.41.2 or newer`,
    );
  }
  const nested = [...states.values()].some((state) => state.nested);
  return {
    description: `bitsandbytes checkpoint, NF4, blocks of ${NF4_BLOCK}` +
      (nested ? ", double quantization" : ""),
    remarks: states.size < linears.length
      ? [`${linears.length - states.size} of ${linears.length} linear layers are not quantized`]
      : [],
    format(path) {
      const state = states.get(path);
      return state === undefined ? null : { format: "nf4", double_quantization: state.nested };
    },
    read: (linear) => readNf4(tensors, linear, states.get(linear.path) as Nf4State),
  };
}

function readNf4(tensors: TensorSource, linear: LinearShape, state: Nf4State): HostWeight {
  const name = `${linear.path}.weight`;
  return fromNf4(
    {
      // bnb_4bit_quant_storage may pack the same bytes into wider elements.
      weight: tensors.readBytes(name),
      absmax: state.nested
        ? tensors.readBytes(`${name}.absmax`)
        : tensors.readFloats(`${name}.absmax`),
      levels: tensors.readFloats(`${name}.quant_map`),
      nested: state.nested
        ? {
          absmax: tensors.readFloats(`${name}.nested_absmax`),
          levels: tensors.readFloats(`${name}.nested_quant_map`),
        }
        : null,
    },
    state,
    linear,
    linear.path,
  );
}

function checkShapes(
  tensors: TensorSource,
  { path, rows, columns }: LinearShape,
  { nested }: Nf4State,
): void {
  const name = `${path}.weight`;
  const bytes = DTYPE_BYTES[tensors.dtype(name)] * elementCount(tensors.shape(name));
  if (bytes !== rows * columns / 2) {
    throw new UserError(
      `${tensors.folder}: tensor "${name}" has ${bytes} bytes of codes, but ${rows} x ${columns} ` +
        `weights take ${rows * columns / 2}; the weights do not belong to this config.json`,
    );
  }
  const blocks = rows * columns / NF4_BLOCK;
  expectShape(tensors, `${name}.absmax`, [blocks]);
  const dtype = tensors.dtype(`${name}.absmax`);
  if (dtype !== (nested ? "U8" : "F32")) {
    throw new UserError(
      `${tensors.folder}: tensor "${name}.absmax" is ${dtype}; wanted ${nested ? "U8" : "F32"}`,
    );
  }
  if (nested) {
    expectShape(tensors, `${name}.nested_absmax`, [Math.ceil(blocks / NF4_ABSMAX_BLOCK)]);
  }
}

function refuseType(where: string, type: string): never {
  throw new UserError(
    `${where}: the checkpoint is of bitsandbytes' ${type}, and this version reads its NF4; load the ` +
      `unquantized model and quantize it here`,
  );
}
