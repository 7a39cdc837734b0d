/**
 * A block of the quantized model with its adapters, as it will be when the task is trained.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { writeModule } from "../adapters/placement.ts";
import { DeviceBlock } from "../calibration/device_block.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { blockLinears, type LinearShape } from "../models/architecture.ts";
import type { Block, LinearAdapter, ModelOutline, ModelSource } from "../models/language_model.ts";
import type { ParameterSpace } from "../models/parameters.ts";
import type { AdapterTargets } from "./model_initializer.ts";
import { freeSlabs, placeTargets } from "./placed_adapters.ts";

/** Weights that are exchanged for others of their format, and adapters that are zero until set. */
export class AdaptedBlock {
  readonly #device: Device;
  readonly #base: DeviceBlock;
  readonly #factors: ParameterSpace;
  readonly #adapters: ReadonlyMap<string, LinearAdapter | null>;

  /** Allocates block `layer`. */
  constructor(device: Device, base: ModelOutline, layer: number, targets: AdapterTargets) {
    this.#device = device;
    this.#base = new DeviceBlock(device, base, layer);
    const shapes = blockLinears(base.config, layer);
    const { factors, adapterOf } = placeTargets(device, shapes, targets);
    this.#factors = factors;
    this.#adapters = new Map(shapes.map((shape) => [shape.path, adapterOf(shape)]));
  }

  /** The block as it is now; recordings of it end with the next exchange. */
  get block(): Block {
    const { block } = this.#base;
    const linears = Object.entries(block.linears).map(([name, linear]) => [
      name,
      { ...linear, adapter: this.#adapters.get(linear.shape.path) ?? null },
    ]);
    return { ...block, linears: Object.fromEntries(linears) };
  }

  /** Copies the values of the base. */
  fill(source: ModelSource): Promise<void> {
    return this.#base.fill(source);
  }

  /** Exchanges the weight and the adapter of a layer. */
  put({ name, path }: LinearShape, weight: HostWeight, module: HostModule | null): void {
    this.#base.replace(name, weight);
    const adapter = this.#adapters.get(path);
    if (adapter && module !== null) writeModule(this.#device, adapter, module);
  }

  /** Frees everything. */
  release(): void {
    this.#base.release();
    freeSlabs(this.#device, this.#factors);
  }
}
