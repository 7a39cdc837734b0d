/**
 * Layers of a GPTQ checkpoint in a model folder: `path.qweight`, `path.qzeros`, `path.scales`, and
 * `path.g_idx`, where there is one.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import {
  damagedZeroWords,
  fromGptq,
  type GptqShape,
  type GptqTensors,
  groupOrder,
} from "../formats/gptq.ts";
import type { GptqConfig } from "../formats/gptq_config.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { TensorSource } from "../formats/hugging_face.ts";
import type { LinearShape } from "./architecture.ts";
import type { CheckpointLayout } from "./checkpoint_layout.ts";
import type { ModuleFormat } from "./quantized_tensors.ts";
import { expectShape } from "./weight_reader.ts";

/**
 * The layers of an open folder.
 *
 * @throws {UserError} If a layer has tensors that do not fit its configuration, a size that the format
 * of this project does not hold, or a bias that the architecture lacks.
 */
export function gptqLayout(
  tensors: TensorSource,
  config: GptqConfig,
  linears: readonly LinearShape[],
): CheckpointLayout {
  const formats = new Map<string, ModuleFormat>();
  let zeroBiases = 0;
  let damaged = 0;
  for (const linear of linears) {
    if (!tensors.has(`${linear.path}.qweight`)) continue;
    const { bits, groupSize } = checkShapes(tensors, config, linear);
    const order = groupOrder(readGroups(tensors, config, linear), groupSize, linear.path);
    const grid = { bits, block_rows: 1, group_size: groupSize };
    formats.set(linear.path, { format: order === null ? "integer" : "ordered", ...grid });
    if (hasUnknownBias(tensors, linear)) zeroBiases++;
    if (config.format === "gptq" && !config.symmetric) {
      damaged += damagedZeroWords(readWords(tensors, `${linear.path}.qzeros`));
    }
  }
  const ordered = [...formats.values()].filter(({ format }) => format === "ordered").length;
  return {
    description: describe(config, ordered > 0),
    remarks: [
      ...(formats.size < linears.length
        ? [`${linears.length - formats.size} of ${linears.length} linear layers are not quantized`]
        : []),
      ...(zeroBiases > 0
        ? [`${zeroBiases} layers have a bias of zeros that the architecture lacks; it is left out`]
        : []),
      ...(damaged > 0
        ? [
          `${damaged} words of zero points end in 16 ones, as packers that do not mask a zero ` +
          `point of 0 leave them; if the perplexity is far off, the checkpoint is damaged`,
        ]
        : []),
      ...(ordered > 0
        ? [
          `${ordered} layers have groups of scattered inputs (desc_act): on the device they are ` +
          `f32, and adapters that merge into zero points do not fit them`,
        ]
        : []),
    ],
    format: (path) => formats.get(path) ?? null,
    read: (linear) => readGptq(tensors, config, linear),
  };
}

function readGptq(tensors: TensorSource, config: GptqConfig, linear: LinearShape): HostWeight {
  const { path } = linear;
  const stored: GptqTensors = {
    qweight: readWords(tensors, `${path}.qweight`),
    qzeros: readWords(tensors, `${path}.qzeros`),
    scales: tensors.readFloats(`${path}.scales`),
    groups: readGroups(tensors, config, linear),
  };
  return fromGptq(stored, shapeOf(config, linear), path);
}

function shapeOf({ bits, groupSize, format }: GptqConfig, linear: LinearShape): GptqShape {
  const { rows, columns } = linear;
  // A last group may be shorter, so a group of more inputs than there are is of them all.
  const size = groupSize === null || groupSize > columns ? columns : groupSize;
  return { rows, columns, bits, groupSize: size, format };
}

function checkShapes(tensors: TensorSource, config: GptqConfig, linear: LinearShape): GptqShape {
  const shape = shapeOf(config, linear);
  const { rows, columns, bits, groupSize } = shape;
  const { path } = linear;
  if (columns % groupSize !== 0) {
    throw new UserError(
      `${tensors.folder}: groups of ${groupSize} do not divide the ${columns} inputs of ${path}, and ` +
        `this version has no format for a shorter last group`,
    );
  }
  if (rows * bits % 32 !== 0 || columns * bits % 32 !== 0) {
    throw new UserError(
      `${tensors.folder}: ${rows} x ${columns} codes of ${bits} bits do not fill whole words in ` +
        `${path}; the weights do not belong to this config.json`,
    );
  }
  const groups = columns / groupSize;
  expectShape(tensors, `${path}.qweight`, [columns * bits / 32, rows]);
  expectShape(tensors, `${path}.qzeros`, [groups, rows * bits / 32]);
  expectShape(tensors, `${path}.scales`, [groups, rows]);
  return shape;
}

/** The group of each input. */
function readGroups(
  tensors: TensorSource,
  config: GptqConfig,
  linear: LinearShape,
): Int32Array<ArrayBuffer> {
  const name = `${linear.path}.g_idx`;
  const { columns, groupSize } = shapeOf(config, linear);
  if (!config.ordered && !tensors.has(name)) {
    return Int32Array.from({ length: columns }, (_, input) => Math.floor(input / groupSize));
  }
  expectShape(tensors, name, [columns]);
  return new Int32Array(readWords(tensors, name).buffer);
}

function readWords(tensors: TensorSource, name: string): Uint32Array<ArrayBuffer> {
  const dtype = tensors.dtype(name);
  if (dtype !== "I32" && dtype !== "U32") {
    throw new UserError(`${tensors.folder}: tensor "${name}" is ${dtype}; wanted I32`);
  }
  return new Uint32Array(tensors.readBytes(name).buffer);
}

/** Whether a layer without bias has one; some packers write zeros for every layer. */
function hasUnknownBias(tensors: TensorSource, { path, bias }: LinearShape): boolean {
  const name = `${path}.bias`;
  if (bias || !tensors.has(name)) return false;
  if (tensors.readFloats(name).some((value) => value !== 0)) {
    throw new UserError(
      `${tensors.folder}: ${name} is not zero, but the architecture in config.json has no such bias`,
    );
  }
  return true;
}

function describe({ bits, groupSize, symmetric, format }: GptqConfig, ordered: boolean): string {
  return `GPTQ checkpoint (${format}), INT${bits}, ` +
    `${groupSize === null ? "rows" : `groups of ${groupSize}`}, ` +
    `${symmetric ? "symmetric" : "asymmetric"}${ordered ? ", act-order" : ""}`;
}
