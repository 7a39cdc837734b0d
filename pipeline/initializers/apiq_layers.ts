/**
 * Layers that share an input and train their grids and adapters to compute what the full-precision
 * layers do.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import type { Linear } from "../models/language_model.ts";
import { backwardLinears, forwardLinears } from "../models/linear_layer.ts";
import type { ParameterSpace } from "../models/parameters.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import { recordErrors } from "./apiq_block.ts";
import type { ClippedLinears } from "./clipped_linear.ts";
import type { ReconstructionTerm, ReconstructionUnit } from "./reconstruction.ts";

/**
 * One step of ApiQ-lw, recorded for one window. The objectives of the layers have no parameter in
 * common, so that training them together is training each alone. Biases are in no objective: they
 * are the same on both sides.
 */
export class LayersUnit implements ReconstructionUnit {
  readonly name: string;
  /** The inputs of the layers in the quantized model, and in the full-precision model. */
  readonly inputs: readonly Tensor[];
  readonly terms: readonly ReconstructionTerm[];
  readonly clips: ParameterSpace;
  readonly factors: ParameterSpace;
  readonly evaluate: Recording;
  readonly step: Recording;
  readonly #scope: TensorScope;

  /**
   * Allocates and records.
   *
   * @param originals The full-precision layers, in the order of `linears`.
   * @param augmented Whether what the full-precision layers make of the quantized model's inputs is a
   * target too.
   */
  constructor(
    device: Device,
    name: string,
    originals: readonly Linear[],
    linears: ClippedLinears,
    length: number,
    augmented: boolean,
  ) {
    const scope = this.#scope = new TensorScope(device);
    const make = (label: string, width: number) => scope.tensor("f32", [length, width], label);
    const width = originals[0]?.shape.columns ?? 0;
    this.name = name;
    this.clips = linears.clips;
    this.factors = linears.factors;
    const [input, reference] = [
      make("input of layers", width),
      make("input of layers", width),
    ];
    this.inputs = [input, reference];
    const sides = augmented ? [reference, input] : [reference];
    const layers = [...linears.layers.values()].map(({ linear }) => {
      const { rows } = linear.shape;
      return {
        linear: { ...linear, bias: null },
        output: make("output of layers", rows),
        gradOutput: make("gradient of layers", rows),
        hidden: linear.adapter === null
          ? undefined
          : make(`hidden of ${linear.shape.path}`, linear.adapter.rank),
        terms: sides.map((side): ReconstructionTerm => ({
          losses: scope.tensor("f32", [length], "losses"),
          target: make("target of layers", rows),
          isReference: side === reference,
        })),
      };
    });
    this.terms = layers.flatMap(({ terms }) => terms);
    const forward = (operations: Operations, withGradients: boolean) => {
      linears.recordQuantize(operations);
      sides.forEach((side, index) => {
        const targets = originals.map(({ weight }, layer) => {
          const target = layers[layer]?.terms[index]?.target;
          if (target === undefined) throw new RangeError(`${name} has another number of layers`);
          return { weight, output: target };
        });
        operations.linearGroup({ input: side, layers: targets });
      });
      forwardLinears(operations, layers, input, { accumulate: false, dropout: false });
      for (const { terms, output, gradOutput } of layers) {
        recordErrors(operations, terms, output, withGradients ? gradOutput : null);
      }
    };
    this.evaluate = device.record("error of layers", (operations) => forward(operations, false));
    this.step = device.record("reconstruction of layers", (operations) => {
      forward(operations, true);
      linears.recordClear(operations);
      backwardLinears(operations, layers, input, null);
      linears.recordBackward(operations);
    });
  }

  /** Frees everything but the layers. */
  release(): void {
    this.evaluate.release();
    this.step.release();
    this.#scope.release();
  }
}
