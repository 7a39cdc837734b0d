/**
 * A language model in device memory: weights in any format, each with the adapter and the gradients
 * that training needs.
 *
 * @module
 */

import type { DenseWeight, Device, Dropout, Tensor, Weight } from "../../kernels/device.ts";
import { type HostWeight, upload } from "../formats/host_weight.ts";
import {
  blockLinears,
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type LinearName,
  type LinearShape,
} from "./architecture.ts";
import type { ModelConfig } from "./config.ts";
import { type Parameter, ParameterSpace } from "./parameters.ts";

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
  /** `[vocab, hidden]`. */
  readonly embedding: Parameter;
  readonly blocks: readonly Block[];
  readonly finalNorm: Parameter;
  /** `[vocab, hidden]`; the embedding's own values in tied models. */
  readonly head: { readonly weight: DenseWeight; readonly gradient: Tensor | null };
  readonly parameters: ParameterSpace;
}

/** Where a model's values come from: a folder, or a random generator. */
export interface ModelSource {
  readonly config: ModelConfig;
  /** A linear layer's weight, dense or quantized. */
  weight(linear: LinearShape): Promise<HostWeight>;
  /** Any other tensor, by its Hugging Face name. */
  floats(name: string): Promise<Float32Array>;
}

/** Adapters by the path of the linear layer they belong to. */
export type AdapterPlacement = (
  linear: LinearShape,
  parameters: ParameterSpace,
) => LinearAdapter | null;

/**
 * Loads a model tensor by tensor: host memory never holds more than the largest one.
 *
 * @param parameters What trains; everything else is frozen.
 * @throws {RangeError} If a tensor is larger than the device allows.
 */
export async function loadLanguageModel(
  device: Device,
  source: ModelSource,
  parameters: ParameterSpace = new ParameterSpace(device, []),
  adapt: AdapterPlacement = () => null,
): Promise<LanguageModel> {
  const { config } = source;
  const load = async (name: string, shape: readonly number[]): Promise<Parameter> => {
    const parameter = parameters.place(name, shape);
    device.write(parameter.value, await source.floats(name));
    return parameter;
  };
  const loadLinear = async (shape: LinearShape): Promise<Linear> => {
    const host = await source.weight(shape);
    const trained = parameters.get(`${shape.path}.weight`);
    const bias = shape.bias ? await load(`${shape.path}.bias`, [shape.rows]) : null;
    const adapter = adapt(shape, parameters);
    if (trained === null) {
      return { shape, weight: upload(device, host, shape.path), gradient: null, bias, adapter };
    }
    if (host.format !== "dense") {
      throw new RangeError(`Cannot train the weight of ${shape.path}: it is ${host.format}`);
    }
    device.write(trained.value, host.values);
    const { rows, columns } = shape;
    const weight: Weight = { format: "dense", rows, columns, values: trained.value };
    return { shape, weight, gradient: trained.gradient, bias, adapter };
  };

  const { hiddenSize, headDim, vocabSize } = config;
  const embedding = await load(EMBEDDING, [vocabSize, hiddenSize]);
  const blocks: Block[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    const linears: Partial<Record<LinearName, Linear>> = {};
    for (const shape of blockLinears(config, layer)) linears[shape.name] = await loadLinear(shape);
    blocks.push({
      inputNorm: await load(`${prefix}.input_layernorm.weight`, [hiddenSize]),
      attentionNorm: await load(`${prefix}.post_attention_layernorm.weight`, [hiddenSize]),
      queryNorm: config.queryKeyNorm
        ? await load(`${prefix}.self_attn.q_norm.weight`, [headDim])
        : null,
      keyNorm: config.queryKeyNorm
        ? await load(`${prefix}.self_attn.k_norm.weight`, [headDim])
        : null,
      linears: linears as Record<LinearName, Linear>, // blockLinears lists all seven names
    });
  }
  const finalNorm = await load(FINAL_NORM, [hiddenSize]);
  const head = config.tied ? embedding : await load(HEAD, [vocabSize, hiddenSize]);
  return {
    config,
    device,
    embedding,
    blocks,
    finalNorm,
    head: {
      weight: { format: "dense", rows: vocabSize, columns: hiddenSize, values: head.value },
      gradient: head.gradient,
    },
    parameters,
  };
}

/** Frees the frozen tensors of a model and its slabs. */
export function freeLanguageModel(model: LanguageModel): void {
  const { device } = model;
  const tensors = new Set<Tensor>();
  const frozen = (parameter: Parameter | null) => {
    if (parameter !== null && parameter.gradient === null) tensors.add(parameter.value);
  };
  frozen(model.embedding);
  frozen(model.finalNorm);
  if (model.head.gradient === null) tensors.add(model.head.weight.values);
  for (const block of model.blocks) {
    [block.inputNorm, block.attentionNorm, block.queryNorm, block.keyNorm].forEach(frozen);
    for (const { weight, gradient, bias, adapter } of Object.values(block.linears)) {
      if (gradient === null) weightTensors(weight).forEach((tensor) => tensors.add(tensor));
      [bias, adapter?.a ?? null, adapter?.b ?? null].forEach(frozen);
    }
  }
  for (const { parameters, gradients } of model.parameters.slabs) {
    tensors.add(parameters).add(gradients);
  }
  tensors.forEach((tensor) => device.free(tensor));
}

function weightTensors(weight: Weight): Tensor[] {
  switch (weight.format) {
    case "dense":
      return [weight.values];
    case "integer":
      return [weight.codes, weight.scales, weight.zeros];
    case "nf4":
      return weight.absmax.kind === "plain"
        ? [weight.codes, weight.absmax.values]
        : [weight.codes, weight.absmax.codes, weight.absmax.scales, weight.absmax.offset];
  }
}
