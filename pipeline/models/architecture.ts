/**
 * The tensors of a LLaMA-family model by their Hugging Face names: what is read, quantized, adapted,
 * trained and written.
 *
 * @module
 */

import type { ModelConfig } from "./config.ts";

/** The seven linear layers of a block, by the names that users and papers give them. */
export const LINEAR_NAMES = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const;

/** Name of one of the seven linear layers. */
export type LinearName = typeof LINEAR_NAMES[number];

/** One linear layer: `weight [rows, columns]`, and `bias [rows]` where there is one. */
export interface LinearShape {
  readonly name: LinearName;
  /** "model.layers.0.self_attn.q_proj"; its tensors are `path.weight` and `path.bias`. */
  readonly path: string;
  readonly layer: number;
  readonly rows: number;
  readonly columns: number;
  readonly bias: boolean;
}

/** Name and shape of a tensor that is not the weight of a linear layer in a block. */
export interface TensorShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The linear layers of block `layer`, in the order of {@linkcode LINEAR_NAMES}. */
export function blockLinears(config: ModelConfig, layer: number): LinearShape[] {
  const { hiddenSize, intermediateSize, queryKeyValueBias, outputBias, mlpBias } = config;
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  const shapes: Record<LinearName, [rows: number, columns: number, bias: boolean]> = {
    q_proj: [queries, hiddenSize, queryKeyValueBias],
    k_proj: [keys, hiddenSize, queryKeyValueBias],
    v_proj: [keys, hiddenSize, queryKeyValueBias],
    o_proj: [hiddenSize, queries, outputBias],
    gate_proj: [intermediateSize, hiddenSize, mlpBias],
    up_proj: [intermediateSize, hiddenSize, mlpBias],
    down_proj: [hiddenSize, intermediateSize, mlpBias],
  };
  return LINEAR_NAMES.map((name, index) => {
    const [rows, columns, bias] = shapes[name];
    const module = index < 4 ? "self_attn" : "mlp";
    return { name, path: `model.layers.${layer}.${module}.${name}`, layer, rows, columns, bias };
  });
}

/** The linear layers of all blocks: what quantizers quantize and adapters adapt. */
export function modelLinears(config: ModelConfig): LinearShape[] {
  return Array.from({ length: config.layers }, (_, layer) => blockLinears(config, layer)).flat();
}

/** Names of the normalization weights of block `layer`. */
function blockNorms(config: ModelConfig, layer: number): TensorShape[] {
  const prefix = `model.layers.${layer}`;
  const norms: TensorShape[] = [
    { name: `${prefix}.input_layernorm.weight`, shape: [config.hiddenSize] },
    { name: `${prefix}.post_attention_layernorm.weight`, shape: [config.hiddenSize] },
  ];
  if (config.queryKeyNorm) {
    norms.push(
      { name: `${prefix}.self_attn.q_norm.weight`, shape: [config.headDim] },
      { name: `${prefix}.self_attn.k_norm.weight`, shape: [config.headDim] },
    );
  }
  return norms;
}

/** Name of the embedding `[vocab, hidden]`. */
export const EMBEDDING = "model.embed_tokens.weight";
/** Name of the final normalization's weight `[hidden]`. */
export const FINAL_NORM = "model.norm.weight";
/** Name of the head `[vocab, hidden]`; tied models share it with the embedding. */
export const HEAD = "lm_head.weight";

/** All tensors of a model that are stored unquantized, in reading order. */
export function plainTensors(config: ModelConfig): TensorShape[] {
  const vocabulary = [config.vocabSize, config.hiddenSize];
  const tensors: TensorShape[] = [{ name: EMBEDDING, shape: vocabulary }];
  for (let layer = 0; layer < config.layers; layer++) {
    tensors.push(...blockNorms(config, layer));
    for (const linear of blockLinears(config, layer)) {
      if (linear.bias) tensors.push({ name: `${linear.path}.bias`, shape: [linear.rows] });
    }
  }
  tensors.push({ name: FINAL_NORM, shape: [config.hiddenSize] });
  if (!config.tied) tensors.push({ name: HEAD, shape: vocabulary });
  return tensors;
}

/** Number of weights of a model, tied matrices counted once. */
export function parameterCount(config: ModelConfig): number {
  const plain = plainTensors(config)
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return modelLinears(config).reduce((sum, { rows, columns }) => sum + rows * columns, plain);
}
