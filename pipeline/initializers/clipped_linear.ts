/**
 * Linear layers whose weights are quantized on grids that are learned, each beside its adapter.
 *
 * @module
 */

import type { ClippedGrid, Device, Operations, Tensor } from "../../kernels/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { writeModule } from "../adapters/placement.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { Linear } from "../models/language_model.ts";
import { type Parameter, ParameterSpace } from "../models/parameters.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import type { ClippedGridSettings } from "./clipped_weight.ts";
import type { AdapterTarget, AdapterTargets } from "./model_initializer.ts";
import { type AdapterOf, freeSlabs, placeTargets, readModule } from "./placed_adapters.ts";

/** What is clipped: a layer of the full-precision model and the grid that its weight gets. */
export interface ClippedSource {
  /** Its weight is dense. */
  readonly linear: Linear;
  /** Its bits and groups. */
  readonly grid: ClippedGridSettings;
}

/** A layer that trains. */
export interface ClippedLinear {
  /** The layer with its weight on the grid as it is now, and the gradient of that weight. */
  readonly linear: Linear & { readonly gradient: Tensor };
  /** Logits of the shares of the largest weights that are kept. */
  readonly upper: Parameter;
  /** Of the least weights. */
  readonly lower: Parameter;
}

/** What a layer came to, in host memory. */
export interface LearnedLinear {
  /** Logits of the shares of the largest weights that are kept. */
  readonly upper: Float32Array;
  /** Of the least weights. */
  readonly lower: Float32Array;
  /** Null for a layer without an adapter. */
  readonly module: HostModule | null;
}

interface Clipped extends ClippedLinear {
  readonly settings: ClippedGrid;
  readonly output: Tensor;
}

/** Layers that train together. */
export class ClippedLinears {
  /** The logits of all grids: `upper` and `lower` of every layer, `rows * columns / groupSize` each. */
  readonly clips: ParameterSpace;
  /** The matrices of the adapters. */
  readonly factors: ParameterSpace;
  /** By path, in the order they were given. */
  readonly layers: ReadonlyMap<string, ClippedLinear>;
  readonly #clipped: readonly Clipped[];
  readonly #targets: AdapterTargets;
  readonly #scope: TensorScope;

  /** Allocates for some layers; `targets` may name others too. Values come from {@linkcode fill}. */
  constructor(device: Device, sources: readonly ClippedSource[], targets: AdapterTargets) {
    this.#targets = targets;
    this.#scope = new TensorScope(device);
    this.clips = new ParameterSpace(
      device,
      sources.flatMap(({ linear: { shape }, grid }) =>
        [`${shape.path}.upper`, `${shape.path}.lower`]
          .map((name) => ({ name, shape: [groupsOf(shape, grid)], decay: true }))
      ),
    );
    const placed = placeTargets(device, sources.map(({ linear }) => linear.shape), targets);
    this.factors = placed.factors;
    this.#clipped = sources.map((source) => this.#clip(source, placed.adapterOf));
    this.layers = new Map(this.#clipped.map((layer) => [layer.linear.shape.path, layer]));
  }

  /** Writes the values that training starts from. */
  fill(logit: number, moduleOf: (target: AdapterTarget) => HostModule): void {
    const { device } = this.#scope;
    for (const { linear: { shape, adapter }, upper, lower } of this.#clipped) {
      const logits = new Float32Array(upper.value.size).fill(logit);
      device.write(upper.value, logits);
      device.write(lower.value, logits);
      const target = this.#targets.get(shape.path);
      if (adapter === null || target === undefined) continue;
      writeModule(device, adapter, moduleOf(target));
    }
  }

  /** Puts all weights on their grids. */
  recordQuantize(operations: Operations): void {
    for (const { settings, output } of this.#clipped) {
      operations.clippedQuantize({ ...settings, output });
    }
  }

  /** Clears the gradients of the weights, to be done before a backward pass. */
  recordClear(operations: Operations): void {
    for (const { linear } of this.#clipped) operations.fill({ output: linear.gradient, value: 0 });
  }

  /** Adds to the gradients of all logits, given those of the weights. */
  recordBackward(operations: Operations): void {
    for (const { settings, linear, upper, lower } of this.#clipped) {
      if (upper.gradient === null || lower.gradient === null) continue;
      operations.clippedQuantizeBackward({
        ...settings,
        gradOutput: linear.gradient,
        gradUpper: upper.gradient,
        gradLower: lower.gradient,
      });
    }
  }

  /** The values as they are now, by path. */
  async readBack(): Promise<Map<string, LearnedLinear>> {
    const { device } = this.#scope;
    const read = async ({ value }: Parameter) => Float32Array.from(await device.readFloats(value));
    const learned = new Map<string, LearnedLinear>();
    for (const { linear: { shape: { path }, adapter }, upper, lower } of this.#clipped) {
      const target = this.#targets.get(path);
      learned.set(path, {
        upper: await read(upper),
        lower: await read(lower),
        module: adapter === null || target === undefined
          ? null
          : await readModule(device, adapter, target.shape),
      });
    }
    return learned;
  }

  /** Frees everything but the layers of the full-precision model. */
  release(): void {
    freeSlabs(this.#scope.device, this.clips);
    freeSlabs(this.#scope.device, this.factors);
    this.#scope.release();
  }

  #clip({ linear, grid }: ClippedSource, adapterOf: AdapterOf): Clipped {
    const { shape, weight, bias } = linear;
    const { path, rows, columns } = shape;
    const upper = this.clips.get(`${path}.upper`);
    const lower = this.clips.get(`${path}.lower`);
    if (upper === null || lower === null || weight.format !== "dense") {
      throw new RangeError(`Cannot clip ${path}: its weight is ${weight.format}`);
    }
    const output = this.#scope.tensor("f32", [rows, columns], `quantized ${path}.weight`);
    const gradient = this.#scope.tensor("f32", [rows, columns], `gradients of ${path}`);
    return {
      linear: {
        shape,
        weight: { format: "dense", rows, columns, values: output },
        gradient,
        bias,
        adapter: adapterOf(shape),
      },
      upper,
      lower,
      output,
      settings: { ...grid, weight: weight.values, upper: upper.value, lower: lower.value },
    };
  }
}

function groupsOf({ rows, columns }: LinearShape, { groupSize }: ClippedGridSettings): number {
  return rows * columns / groupSize;
}
