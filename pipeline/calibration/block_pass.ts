/**
 * One block run on batches of hidden states, with sums over the inputs of its linear layers.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import type { LinearName, LinearShape } from "../models/architecture.ts";
import { forwardBlock } from "../models/block.ts";
import {
  type BlockActivations,
  blockActivations,
  blockEnvironment,
} from "../models/block_tensors.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Block } from "../models/language_model.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import { GramSum } from "./gram.ts";
import { InputSample } from "./input_sample.ts";
import type { CalibrationNeeds, LayerCalibration } from "./layer_calibration.ts";
import { matrix } from "../linalg/matrix.ts";
import type { CalibrationShape } from "./options.ts";

/** The four inputs that the seven linear layers of a block share, in the order they are computed. */
export const BLOCK_INPUTS: readonly {
  readonly linears: readonly LinearName[];
  readonly of: (activations: BlockActivations) => Tensor;
}[] = [
  { linears: ["q_proj", "k_proj", "v_proj"], of: ({ normed }) => normed },
  { linears: ["o_proj"], of: ({ attended }) => attended },
  { linears: ["gate_proj", "up_proj"], of: ({ middleNormed }) => middleNormed },
  { linears: ["down_proj"], of: ({ activated }) => activated },
];

/** What is wanted of a layer's inputs; null if nothing. */
export type NeedsOf = (linear: LinearShape) => CalibrationNeeds | null;

interface Observation {
  readonly linears: readonly LinearShape[];
  readonly input: Tensor;
  readonly gram: GramSum | null;
  readonly sample: InputSample | null;
}

/** What a block's inputs came to. */
export interface Observed {
  /** By path of the linear layer. */
  readonly layers: ReadonlyMap<string, LayerCalibration>;
  /** Largest relative error of a Gram matrix, as its probe says. */
  readonly gramError: number;
}

/** A recording of one block with the tensors it reads and writes. */
export class BlockPass {
  /** `[batchSize * length, hidden]`: to be filled before every replay. */
  readonly input: Tensor;
  /** Like `input`: the hidden states behind the block. */
  readonly output: Tensor;
  readonly #device: Device;
  readonly #scope: TensorScope;
  readonly #observations: readonly Observation[];
  readonly #recording: Recording;
  readonly #shape: CalibrationShape;

  /** Allocates and records for the block as it is now. */
  constructor(
    device: Device,
    config: ModelConfig,
    block: Block,
    shape: CalibrationShape,
    needs: NeedsOf,
  ) {
    const { batchSize, length } = shape;
    const tokens = batchSize * length;
    const scope = this.#scope = new TensorScope(device);
    this.#device = device;
    this.#shape = shape;
    this.input = scope.tensor("f32", [tokens, config.hiddenSize], "input of block");
    this.output = scope.tensor("f32", [tokens, config.hiddenSize], "input of block after");
    const environment = blockEnvironment(scope, config, { batchSize, length });
    const activations = blockActivations(scope, config, tokens, block);
    this.#observations = BLOCK_INPUTS.flatMap(({ linears, of }) => {
      const shapes = linears.map((name) => block.linears[name].shape);
      return this.#observe(shapes, of(activations), needs);
    });
    this.#recording = device.record("calibrate a block", (operations) => {
      forwardBlock(operations, environment, block, activations, this.input, this.output, {
        dropout: false,
      });
      for (const { gram, input } of this.#observations) gram?.record(operations, input);
    });
  }

  /** Runs the block on a batch. */
  async run(hidden: Float32Array | Float64Array): Promise<void> {
    this.#device.write(this.input, hidden);
    this.#device.run(this.#recording);
    for (const { gram, sample, input } of this.#observations) {
      await gram?.added(this.#shape.batchSize * this.#shape.length);
      await sample?.added(input);
    }
  }

  /**
   * What all batches came to.
   *
   * @throws {UserError} If inputs were not finite, or a Gram matrix is not what it should be.
   */
  async finish(): Promise<Observed> {
    const layers = new Map<string, LayerCalibration>();
    const tokens = this.#shape.samples * this.#shape.length;
    let gramError = 0;
    for (const { linears, gram, sample } of this.#observations) {
      const finished = await gram?.finish();
      gramError = Math.max(gramError, finished?.error ?? 0);
      const calibration: LayerCalibration = {
        gram: finished?.matrix ?? matrix(0, 0),
        tokens,
        sample: sample?.values ?? null,
      };
      for (const { path } of linears) layers.set(path, calibration);
    }
    return { layers, gramError };
  }

  /** Frees everything but the block. */
  release(): void {
    this.#recording.release();
    for (const { gram, sample } of this.#observations) {
      gram?.release();
      sample?.release();
    }
    this.#scope.release();
  }

  #observe(shapes: readonly LinearShape[], input: Tensor, needs: NeedsOf): Observation[] {
    const linears = shapes.filter((shape) => needs(shape) !== null);
    const [first] = linears;
    if (first === undefined) return [];
    const { samples, length, batchSize } = this.#shape;
    const tokens = batchSize * length;
    const some = (key: keyof CalibrationNeeds) => linears.some((linear) => needs(linear)?.[key]);
    return [{
      linears,
      input,
      gram: some("gram") ? new GramSum(this.#device, first.path, tokens, first.columns) : null,
      sample: some("sample")
        ? new InputSample(this.#device, first.path, samples * length, tokens, first.columns)
        : null,
    }];
  }
}
