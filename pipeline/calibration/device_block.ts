/**
 * One block of a model on a device, whose layers can be exchanged for quantized ones.
 *
 * @module
 */

import type { Device, Tensor } from "../../kernels/device.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import {
  blockLinears,
  type LinearName,
  type LinearShape,
  plainTensors,
} from "../models/architecture.ts";
import { deviceFormat } from "../models/device_format.ts";
import { allocateWeight, fillWeight, weightTensors } from "../models/device_weight.ts";
import type { Block, Linear, ModelOutline, ModelSource } from "../models/language_model.ts";
import type { Parameter } from "../models/parameters.ts";
import { type ModuleFormat, moduleFormat, weightParts } from "../models/quantized_tensors.ts";

/** The weights of one block in device memory, frozen and without adapters. */
export class DeviceBlock {
  readonly #device: Device;
  readonly #plain: ReadonlyMap<string, Parameter>;
  readonly #prefix: string;
  readonly #linears: Record<LinearName, Linear>;

  /** Allocates the weights of block `layer`, without values. */
  constructor(device: Device, outline: ModelOutline, layer: number) {
    const { config } = outline;
    this.#device = device;
    this.#prefix = `model.layers.${layer}.`;
    this.#plain = new Map(
      plainTensors(config).filter(({ name }) => name.startsWith(this.#prefix)).map((
        { name, shape },
      ) => [name, { value: device.tensor("f32", shape, name), gradient: null }]),
    );
    this.#linears = Object.fromEntries(
      blockLinears(config, layer).map((shape) => [
        shape.name,
        this.#linear(shape, outline.moduleFormat(shape.path)),
      ]),
    ) as Record<LinearName, Linear>; // blockLinears lists all seven names
  }

  /** The block as `forwardBlock` takes it; recordings of it end with the next exchange. */
  get block(): Block {
    const norm = (name: string) => this.#plain.get(`${this.#prefix}${name}.weight`) ?? null;
    return {
      inputNorm: required(norm("input_layernorm")),
      attentionNorm: required(norm("post_attention_layernorm")),
      queryNorm: norm("self_attn.q_norm"),
      keyNorm: norm("self_attn.k_norm"),
      linears: { ...this.#linears },
    };
  }

  /** Copies the values of `source`, which has the outline that the block was allocated with. */
  async fill(source: ModelSource): Promise<void> {
    for (const [name, { value }] of this.#plain) {
      this.#device.write(value, await source.floats(name));
    }
    for (const { shape, weight } of Object.values(this.#linears)) {
      const format = source.moduleFormat(shape.path);
      // Only what a device holds as it is stored can go there piece by piece.
      if (source.pieces === undefined || deviceFormat(format) !== format) {
        fillWeight(this.#device, weight, await source.weight(shape));
        continue;
      }
      const parts = weightParts(format, shape.rows, shape.columns);
      for (const [index, tensor] of weightTensors(weight).entries()) {
        for (const { first, values } of source.pieces(`${shape.path}.${parts[index]?.part}`)) {
          this.#device.write(tensor, values, first);
        }
      }
    }
  }

  /** Exchanges the weight of a layer. */
  replace(name: LinearName, weight: HostWeight): void {
    this.reallocate(name, moduleFormat(weight));
    fillWeight(this.#device, this.#linears[name].weight, weight);
  }

  /** Makes room for another weight of a layer, without values. */
  reallocate(name: LinearName, format: ModuleFormat | null): void {
    const { shape, weight } = this.#linears[name];
    weightTensors(weight).forEach((tensor) => this.#device.free(tensor));
    this.#linears[name] = this.#linear(shape, format);
  }

  /** Frees the weights. */
  release(): void {
    const tensors: Tensor[] = [...this.#plain.values()].map(({ value }) => value);
    for (const { weight } of Object.values(this.#linears)) tensors.push(...weightTensors(weight));
    tensors.forEach((tensor) => this.#device.free(tensor));
  }

  #linear(shape: LinearShape, format: ModuleFormat | null): Linear {
    return {
      shape,
      weight: allocateWeight(this.#device, shape, format),
      gradient: null,
      bias: this.#plain.get(`${shape.path}.bias`) ?? null,
      adapter: null,
    };
  }
}

function required(parameter: Parameter | null): Parameter {
  if (parameter === null) throw new RangeError("A block has two norms");
  return parameter;
}
