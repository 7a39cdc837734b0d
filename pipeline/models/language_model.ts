/**
 * A language model in device memory: weights in any format, each with the adapter and the gradients
 * that training needs.
 *
 * @module
 */

import type { DenseWeight, Device, Dropout, Tensor, Weight } from "../../kernels/device.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { Piece } from "../formats/safetensors.ts";
import {
  blockLinears,
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type LinearName,
  type LinearShape,
  plainTensors,
} from "./architecture.ts";
import type { ModelConfig } from "./config.ts";
import { deviceFormat } from "./device_format.ts";
import { allocateWeight, fillWeight, weightTensors } from "./device_weight.ts";
import { type Parameter, ParameterSpace } from "./parameters.ts";
import { type ModuleFormat, weightParts } from "./quantized_tensors.ts";

/** An adapter on one linear layer (see `kernels/device.ts`, `LowRank`). */
export interface LinearAdapter {
  /** `[R, columns / pool]`; null for the single matrix of QA-HiRA. */
  readonly a: Parameter | null;
  /** `[rows / repeat, R]`. */
  readonly b: Parameter;
  readonly rank: number;
  readonly pool: number;
  readonly repeat: number;
  readonly scale: number;
  readonly dropout?: Dropout;
  /** Added beside it while it trains. */
  readonly frozen?: FrozenPair;
}

/** A pair of factors that does not train, pooled and repeated like the adapter beside it. */
export interface FrozenPair {
  /** `[R, columns / pool]`, with a rank R of its own. */
  readonly a: Tensor;
  /** `[rows / repeat, R]`. */
  readonly b: Tensor;
  readonly scale: number;
  /** `[T, R]`: scratch memory, which all pairs of a model may share. */
  readonly hidden: Tensor;
}

/** A linear layer. */
export interface Linear {
  readonly shape: LinearShape;
  readonly weight: Weight;
  /** Gradient of a dense weight that trains. */
  readonly gradient: Tensor | null;
  readonly bias: Parameter | null;
  readonly adapter: LinearAdapter | null;
}

/** A transformer block. */
export interface Block {
  readonly inputNorm: Parameter;
  readonly attentionNorm: Parameter;
  readonly queryNorm: Parameter | null;
  readonly keyNorm: Parameter | null;
  readonly linears: Readonly<Record<LinearName, Linear>>;
}

/** A decoder of the LLaMA family on a device. */
export interface LanguageModel {
  readonly config: ModelConfig;
  readonly device: Device;
  /** Embedding, norms, biases and head, by their Hugging Face names. */
  readonly plain: ReadonlyMap<string, Parameter>;
  /** `[vocab, hidden]`. */
  readonly embedding: Parameter;
  readonly blocks: readonly Block[];
  readonly finalNorm: Parameter;
  /** `[vocab, hidden]`; the embedding's own values in tied models. */
  readonly head: { readonly weight: DenseWeight; readonly gradient: Tensor | null };
  readonly parameters: ParameterSpace;
}

/** What decides every tensor of a model, without a value. */
export interface ModelOutline {
  readonly config: ModelConfig;
  /** Format of the linear layer at `path`; null if it is dense. */
  moduleFormat(path: string): ModuleFormat | null;
}

/** Where a model's values come from: a folder, or a random generator. */
export interface ModelSource extends ModelOutline {
  /** A linear layer's weight, dense or quantized. */
  weight(linear: LinearShape): Promise<HostWeight>;
  /** Any other tensor, by its Hugging Face name. */
  floats(name: string): Promise<Float32Array>;
  /**
   * The tensors of a weight (`weight`, or `codes` and so on behind the layer's path) and all others by
   * name, piece by piece: for sources that need not hold them whole.
   */
  pieces?(name: string): Iterable<Piece>;
}

/** Adapters by the path of the linear layer they belong to. */
export type AdapterPlacement = (
  linear: LinearShape,
  parameters: ParameterSpace,
) => LinearAdapter | null;

/**
 * Allocates a model; its values are those of fresh memory until {@linkcode fillLanguageModel}.
 *
 * @param parameters What trains; everything else is frozen.
 * @throws {RangeError} If a tensor is larger than the device allows.
 */
export function allocateLanguageModel(
  device: Device,
  outline: ModelOutline,
  parameters: ParameterSpace = new ParameterSpace(device, []),
  adapt: AdapterPlacement = () => null,
): LanguageModel {
  const { config } = outline;
  const plain = new Map(
    plainTensors(config).map(({ name, shape }) => [name, parameters.place(name, shape)]),
  );
  const linear = (shape: LinearShape): Linear => {
    const { path, rows, columns } = shape;
    const format = outline.moduleFormat(path);
    const trained = parameters.get(`${path}.weight`);
    if (trained !== null && format !== null) {
      throw new RangeError(`Cannot train the weight of ${path}: it is ${format.format}`);
    }
    return {
      shape,
      weight: trained === null
        ? allocateWeight(device, shape, format)
        : { format: "dense", rows, columns, values: trained.value },
      gradient: trained?.gradient ?? null,
      bias: plain.get(`${path}.bias`) ?? null,
      adapter: adapt(shape, parameters),
    };
  };
  const blocks = Array.from({ length: config.layers }, (_, layer): Block => {
    const prefix = `model.layers.${layer}`;
    const linears = blockLinears(config, layer).map((shape) => [shape.name, linear(shape)]);
    return {
      inputNorm: required(plain, `${prefix}.input_layernorm.weight`),
      attentionNorm: required(plain, `${prefix}.post_attention_layernorm.weight`),
      queryNorm: plain.get(`${prefix}.self_attn.q_norm.weight`) ?? null,
      keyNorm: plain.get(`${prefix}.self_attn.k_norm.weight`) ?? null,
      linears: Object.fromEntries(linears), // blockLinears lists all seven names
    };
  });
  const embedding = required(plain, EMBEDDING);
  const head = plain.get(HEAD) ?? embedding;
  const { vocabSize: rows, hiddenSize: columns } = config;
  return {
    config,
    device,
    plain,
    embedding,
    blocks,
    finalNorm: required(plain, FINAL_NORM),
    head: {
      weight: { format: "dense", rows, columns, values: head.value },
      gradient: head.gradient,
    },
    parameters,
  };
}

function required(parameters: ReadonlyMap<string, Parameter>, name: string): Parameter {
  const parameter = parameters.get(name);
  if (parameter === undefined) throw new RangeError(`The model has no tensor "${name}"`);
  return parameter;
}

/**
 * Copies values into an allocated model: piece by piece where the source can, else tensor by tensor.
 */
export async function fillLanguageModel(model: LanguageModel, source: ModelSource): Promise<void> {
  const { device, plain, blocks } = model;
  const copy = (tensor: Tensor, pieces: Iterable<Piece>) => {
    for (const { first, values } of pieces) device.write(tensor, values, first);
  };
  for (const [name, { value }] of plain) {
    if (source.pieces !== undefined) copy(value, source.pieces(name));
    else device.write(value, await source.floats(name));
  }
  for (const { linears } of blocks) {
    for (const { shape, weight } of Object.values(linears)) {
      const { path, rows, columns } = shape;
      const format = source.moduleFormat(path);
      // Only what a device holds as it is stored can go there piece by piece.
      if (source.pieces === undefined || deviceFormat(format) !== format) {
        fillWeight(device, weight, await source.weight(shape));
        continue;
      }
      const parts = weightParts(format, rows, columns);
      for (const [index, tensor] of weightTensors(weight).entries()) {
        copy(tensor, source.pieces(`${path}.${parts[index]?.part}`));
      }
    }
  }
}

/** {@linkcode allocateLanguageModel} and {@linkcode fillLanguageModel}. */
export async function loadLanguageModel(
  device: Device,
  source: ModelSource,
  parameters?: ParameterSpace,
  adapt?: AdapterPlacement,
): Promise<LanguageModel> {
  const model = allocateLanguageModel(device, source, parameters, adapt);
  await fillLanguageModel(model, source);
  return model;
}

/** Frees the frozen tensors of a model and its slabs. */
export function freeLanguageModel(model: LanguageModel): void {
  const { device } = model;
  const tensors = new Set<Tensor>();
  const frozen = (parameter: Parameter | null | undefined) => {
    if (parameter?.gradient === null) tensors.add(parameter.value);
  };
  model.plain.forEach(frozen);
  for (const { linears } of model.blocks) {
    for (const { weight, gradient, adapter } of Object.values(linears)) {
      if (gradient === null) weightTensors(weight).forEach((tensor) => tensors.add(tensor));
      frozen(adapter?.a);
      frozen(adapter?.b);
    }
  }
  for (const { parameters, gradients } of model.parameters.slabs) {
    tensors.add(parameters).add(gradients);
  }
  tensors.forEach((tensor) => device.free(tensor));
}
