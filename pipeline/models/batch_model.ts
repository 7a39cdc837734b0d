/**
 * A model set up for batches of one shape: the tensors to fill and the recordings to replay.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import { backwardBlock, forwardBlock, trains as blockTrains } from "./block.ts";
import {
  type BatchShape,
  type BlockActivations,
  blockActivations,
  type BlockEnvironment,
  blockEnvironment,
  type BlockGradients,
  blockGradients,
  type Packing,
  sharedActivations,
} from "./block_tensors.ts";
import type { LanguageModel } from "./language_model.ts";
import { UserError } from "../errors.ts";
import type { ParameterSlab } from "./parameters.ts";
import { SharedScope, TensorScope } from "./tensor_scope.ts";

/** Squared distance of the last hidden states from given ones, as a term of the loss. */
export interface HiddenLoss {
  /** Which hidden states: behind the final normalization, or before it. */
  readonly at: "final_norm" | "last_block";
  /** `[T, hidden]`: what they should be; to be filled with the tokens. */
  readonly target: Tensor;
  /** The loss that is differentiated gets `scale` times the sum of all squares. */
  readonly scale: number;
  /** `[T]`, written by both recordings: the sum of squares of each token. */
  readonly losses: Tensor;
}

/** How a {@linkcode BatchModel} is set up. */
export interface BatchOptions extends BatchShape {
  /**
   * Keep only each block's input and compute its activations again in the backward pass (activation
   * checkpointing, Chen et al. 2016). Default: false.
   */
  readonly checkpointing?: boolean;
  /** Key of dropout (see `kernels/device.ts`), if adapters were made with one. */
  readonly dropoutKey?: Tensor | null;
  /** Added to the weighted sum of token losses. Default: nothing. */
  readonly hiddenLoss?: HiddenLoss | null;
}

/** The head on some tokens at once. */
export interface LogitsPass {
  /** `[rows, hidden]`: input of `recording`. */
  readonly hidden: Tensor;
  /** `[rows, vocab]`: its output. */
  readonly output: Tensor;
  readonly recording: Recording;
  /** Frees all three. */
  release(): void;
}

/**
 * Runs a {@linkcode LanguageModel} on batches of `batchSize` rows of `length` tokens.
 *
 * Satisfies `training/trainable.ts`; a model without trained parameters only has `forward`.
 */
export class BatchModel {
  readonly device: Device;
  readonly batchSize: number;
  readonly length: number;
  readonly tokens: Tensor;
  readonly targets: Tensor;
  readonly weights: Tensor;
  readonly losses: Tensor;
  readonly tokenIndex: { readonly order: Tensor; readonly offsets: Tensor } | null;
  readonly packing: Packing | null;
  readonly dropoutKey: Tensor | null;
  readonly slabs: readonly ParameterSlab[];
  /** `[T, hidden]`: the final hidden states after normalization, for logits. */
  readonly final: Tensor;
  readonly #model: LanguageModel;
  readonly #environment: BlockEnvironment;
  readonly #inputs: readonly Tensor[];
  readonly #activations: readonly BlockActivations[];
  readonly #checkpointing: boolean;
  readonly #hiddenLoss: HiddenLoss | null;
  readonly #scope: TensorScope;
  readonly #options: BatchOptions;
  readonly #longer: BatchModel | null;
  #forward: Recording | null = null;
  #forwardBackward: Recording | null = null;

  /**
   * @param longer See {@linkcode BatchModel.shorter}.
   * @throws {UserError} If `length` exceeds the model's positions.
   */
  constructor(model: LanguageModel, options: BatchOptions, longer: BatchModel | null = null) {
    const { config, device } = model;
    const { batchSize, length } = options;
    if (length > config.maxPositions) {
      throw new UserError(
        `Rows of ${length} tokens do not fit the model's ${config.maxPositions} positions ` +
          `(max_position_embeddings); use a length or window of at most ${config.maxPositions}`,
      );
    }
    const count = batchSize * length;
    this.#model = model;
    this.device = device;
    this.batchSize = batchSize;
    this.length = length;
    this.slabs = model.parameters.slabs;
    this.dropoutKey = options.dropoutKey ?? null;
    this.#checkpointing = options.checkpointing === true;
    this.#hiddenLoss = options.hiddenLoss ?? null;
    this.#options = options;
    this.#longer = longer;
    const scope = this.#scope = longer === null
      ? new TensorScope(device)
      : new SharedScope(longer.#scope);
    this.tokens = scope.tensor("u32", [count], "tokens");
    this.targets = scope.tensor("u32", [count], "targets");
    this.weights = scope.tensor("f32", [count], "target weights");
    this.losses = scope.tensor("f32", [count], "losses");
    this.final = scope.tensor("f32", [count, config.hiddenSize], "final hidden states");
    this.tokenIndex = model.embedding.gradient === null ? null : {
      order: scope.tensor("u32", [count], "token order"),
      offsets: scope.tensor("u32", [config.vocabSize + 1], "token offsets"),
    };
    this.#environment = blockEnvironment(scope, config, options);
    this.packing = this.#environment.packing;
    const trains = this.slabs.length > 0;
    this.#activations = trains && !this.#checkpointing
      ? model.blocks.map((block) => blockActivations(scope, config, count, block))
      : sharedActivations(scope, config, count, model.blocks);
    // Without a backward pass two tensors, taken in turn, carry the residual stream.
    const inputs = Array.from(
      { length: trains ? config.layers + 1 : 2 },
      (_, layer) => scope.tensor("f32", [count, config.hiddenSize], `input of block ${layer}`),
    );
    this.#inputs = Array.from(
      { length: config.layers + 1 },
      (_, layer) => at(inputs, layer % inputs.length),
    );
    if (longer === null) this.forward;
  }

  /** Forward only; recorded at once, or, for shorter rows, on first use. */
  get forward(): Recording {
    return this.#forward ??= this.device.record("forward", (operations) => {
      this.#recordForward(operations, false);
      this.#recordLoss(operations, null);
    });
  }

  /** Forward and backward; recorded on first use. @throws {RangeError} If nothing trains. */
  get forwardBackward(): Recording {
    if (this.slabs.length === 0) throw new RangeError("Cannot train: no parameter trains");
    if (this.#forwardBackward === null) {
      this.#longer?.forwardBackward; // allocates what is shared
      const { config } = this.#model;
      const count = this.batchSize * this.length;
      const gradients = blockGradients(this.#scope, config, count);
      const gradient = this.#scope.tensor("f32", [count, config.hiddenSize], "gradient");
      const gradFinal = this.#scope.tensor("f32", [count, config.hiddenSize], "final gradient");
      this.#forwardBackward = this.device.record("forward and backward", (operations) => {
        this.#recordForward(operations, true);
        this.#recordLoss(operations, gradFinal);
        this.#recordBackward(operations, gradFinal, gradient, gradients);
      });
    }
    return this.#forwardBackward;
  }

  /**
   * The same model for rows of fewer tokens, in the memory of this one: they take turns, each with its
   * own recordings. It has to be released before this one.
   */
  shorter(length: number): BatchModel {
    return new BatchModel(this.#model, { ...this.#options, length }, this);
  }

  /**
   * Runs the head on the last forward pass and reads the logits `[count, vocab]` of its first
   * `count` tokens in pieces of `rows` tokens, first to last.
   */
  async *logits(
    rows: number,
    count: number = this.batchSize * this.length,
  ): AsyncGenerator<Float32Array | Float64Array> {
    const { hiddenSize, vocabSize } = this.#model.config;
    const { hidden, output, recording, release } = this.allocateLogits(rows);
    try {
      for (let first = 0; first < count; first += rows) {
        const size = Math.min(rows, count - first);
        this.device.copy(this.final, first * hiddenSize, hidden, 0, size * hiddenSize);
        this.device.run(recording);
        yield await this.device.readFloats(this.device.view(output, 0, [size, vocabSize]));
      }
    } finally {
      release();
    }
  }

  /** What {@linkcode BatchModel.logits} allocates: the head on `rows` tokens at once. */
  allocateLogits(rows: number): LogitsPass {
    const { hiddenSize, vocabSize } = this.#model.config;
    const scope = new TensorScope(this.device);
    const hidden = scope.tensor("f32", [rows, hiddenSize], "hidden states of logits");
    const output = scope.tensor("f32", [rows, vocabSize], "logits");
    const recording = this.device.record("logits", (operations) => {
      operations.linear({ input: hidden, weight: this.#model.head.weight, output });
    });
    const release = () => {
      recording.release();
      scope.release();
    };
    return { hidden, output, recording, release };
  }

  /** Frees everything but the model. */
  release(): void {
    this.#forward?.release();
    this.#forwardBackward?.release();
    this.#scope.release();
  }

  #recordForward(operations: Operations, training: boolean): void {
    const { embedding, blocks, finalNorm, config } = this.#model;
    operations.embedding({
      tokens: this.tokens,
      table: embedding.value,
      output: at(this.#inputs, 0),
    });
    blocks.forEach((_, layer) => this.#recordBlock(operations, layer, training));
    operations.rmsNorm({
      input: at(this.#inputs, config.layers),
      weight: finalNorm.value,
      output: this.final,
      epsilon: config.normEpsilon,
    });
  }

  #recordBlock(operations: Operations, layer: number, dropout: boolean): void {
    forwardBlock(
      operations,
      this.#environment,
      at(this.#model.blocks, layer),
      at(this.#activations, layer),
      at(this.#inputs, layer),
      at(this.#inputs, layer + 1),
      { dropout },
    );
  }

  #recordLoss(operations: Operations, gradFinal: Tensor | null): void {
    const { head } = this.#model;
    operations.crossEntropy({
      hidden: this.final,
      head: head.weight,
      targets: this.targets,
      weights: this.weights,
      losses: this.losses,
      ...(gradFinal === null ? {} : { gradHidden: gradFinal }),
      ...(gradFinal === null || head.gradient === null ? {} : { gradHead: head.gradient }),
    });
    this.#recordHiddenLoss(operations, "final_norm", gradFinal);
    // With gradients it follows the backward pass of the final normalization.
    if (gradFinal === null) this.#recordHiddenLoss(operations, "last_block", null);
  }

  /** Adds to `gradient`, of the hidden states at this place. */
  #recordHiddenLoss(
    operations: Operations,
    place: HiddenLoss["at"],
    gradient: Tensor | null,
  ): void {
    if (this.#hiddenLoss?.at !== place) return;
    const { target, scale, losses } = this.#hiddenLoss;
    const prediction = place === "final_norm"
      ? this.final
      : at(this.#inputs, this.#model.config.layers);
    operations.squaredError({
      prediction,
      target,
      scale,
      losses,
      ...(gradient === null ? {} : { gradient, accumulate: true }),
    });
  }

  #recordBackward(
    operations: Operations,
    gradFinal: Tensor,
    gradient: Tensor,
    gradients: BlockGradients,
  ): void {
    const { blocks, config, finalNorm, embedding } = this.#model;
    operations.rmsNormBackward({
      input: at(this.#inputs, config.layers),
      weight: finalNorm.value,
      gradOutput: gradFinal,
      gradInput: gradient,
      gradWeight: finalNorm.gradient,
      epsilon: config.normEpsilon,
    });
    this.#recordHiddenLoss(operations, "last_block", gradient);
    const lowest = embedding.gradient === null ? blocks.findIndex(blockTrains) : 0;
    for (let layer = config.layers - 1; layer >= lowest && lowest >= 0; layer--) {
      // The last block's activations are still there; those of the others were overwritten.
      if (this.#checkpointing && layer < config.layers - 1) {
        this.#recordBlock(operations, layer, true);
      }
      backwardBlock(
        operations,
        this.#environment,
        at(blocks, layer),
        at(this.#activations, layer),
        at(this.#inputs, layer),
        gradient,
        gradients,
        layer > lowest || embedding.gradient !== null,
      );
    }
    if (embedding.gradient !== null && this.tokenIndex !== null) {
      operations.embeddingBackward({
        gradOutput: gradient,
        ...this.tokenIndex,
        gradTable: embedding.gradient,
      });
    }
  }
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) {
    throw new RangeError(`Index ${index} is outside a list of ${list.length}`);
  }
  return item;
}
