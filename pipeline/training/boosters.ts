/**
 * An adapter that grows: in every round a booster `B_t A_t` of small rank is trained beside the
 * boosters of earlier rounds, then joins them. Their sum is kept as factors,
 *
 *     delta W = scale * step_size * [B_1 ... B_t] [A_1; ...; A_t],
 *
 * so that nothing is rounded, whatever the base is quantized to, and what is left in the end is an
 * adapter like any other. Computing with it is the same as having merged every booster into the weight.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import type { HostAdapter, HostModule } from "../adapters/adapter.ts";
import { type AdapterOutline, factorNames } from "../adapters/placement.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import { loraScale, type PeftConfig } from "../formats/peft.ts";
import type { FrozenPair } from "../models/language_model.ts";
import type { ParameterSpace } from "../models/parameters.ts";
import { TensorScope } from "../models/tensor_scope.ts";

/** How many boosters join, and how. */
export interface Growth {
  /** Boosters of every layer, those that stay zero included. */
  readonly rounds: number;
  /** Factor on the product of a booster that has joined. */
  readonly step_size: number;
}

/** The shape of all boosters of a layer together, given that of one. */
export function boostedShape(shape: AdapterShape, { rounds, step_size }: Growth): AdapterShape {
  const { a, b } = shape;
  return {
    ...shape,
    rank: rounds * shape.rank,
    scale: step_size * shape.scale,
    a: a === null ? null : [rounds * a[0], a[1]],
    b: [b[0], rounds * b[1]],
  };
}

/** The boosters of one layer on a device. */
interface LayerBoosters {
  /** That of the round, which trains. */
  readonly a: Tensor;
  readonly b: Tensor;
  /** Those of earlier rounds. */
  readonly earlier: FrozenPair;
  /** `[r, rounds * r]`: the identity, where the round's rank belongs among those of all. */
  readonly slot: Tensor;
}

/** The boosters of a model on a device: the round's are trained values, all others are here. */
export class Boosters {
  /** By path of the linear layer: what earlier rounds have left. */
  readonly earlier: ReadonlyMap<string, FrozenPair>;
  /** The factors of {@linkcode Boosters.earlier} by name, for checkpoints. */
  readonly state: ReadonlyMap<string, Tensor>;
  readonly #device: Device;
  readonly #growth: Growth;
  readonly #scope: TensorScope;
  readonly #layers: ReadonlyMap<string, LayerBoosters>;
  readonly #join: Recording;

  /**
   * @param parameters Trains the factors of one booster on every layer, and nothing else.
   * @param adapter The shapes of one booster.
   * @param tokens Rows of the activations that the model will be run on.
   * @throws {RangeError} If a layer's adapter is a single matrix.
   */
  constructor(
    device: Device,
    parameters: ParameterSpace,
    adapter: AdapterOutline,
    { tokens, ...growth }: Growth & { readonly tokens: number },
  ) {
    const scope = this.#scope = new TensorScope(device);
    this.#device = device;
    this.#growth = growth;
    const shapes = [...adapter.modules].map(([path, { shape }]) => ({ path, shape }));
    const widest = growth.rounds * Math.max(...shapes.map(({ shape }) => shape.rank));
    const hidden = scope.tensor("f32", [tokens * widest], "hidden of earlier boosters");
    const slots = new Map<number, Tensor>();
    const layers = this.#layers = new Map(shapes.map(({ path, shape }) => {
      const names = factorNames(path);
      const [trainedA, trainedB] = [parameters.get(names.a), parameters.get(names.b)];
      const { rank, scale, a, b } = boostedShape(shape, growth);
      if (trainedA === null || trainedB === null || a === null) {
        throw new RangeError(`${path} has no pair of factors that trains`);
      }
      const slot = slots.get(rank) ??
        scope.tensor("f32", [shape.rank, rank], "slot of the round");
      slots.set(rank, slot);
      const earlier = {
        a: scope.tensor("f32", a, `earlier ${names.a}`),
        b: scope.tensor("f32", b, `earlier ${names.b}`),
        scale,
        hidden: device.view(hidden, 0, [tokens, rank]),
      };
      return [path, { a: trainedA.value, b: trainedB.value, earlier, slot }];
    }));
    this.earlier = new Map([...layers].map(([path, { earlier }]) => [path, earlier]));
    this.state = new Map(
      [...this.earlier.values()].flatMap(({ a, b }) => [[a.label, a], [b.label, b]]),
    );
    this.#join = device.record("join boosters", (operations) => {
      for (const layer of layers.values()) recordJoin(operations, layer);
      for (const { parameters: values } of parameters.slabs) {
        operations.fill({ output: values, value: 0 });
      }
    });
  }

  /** Queues the start of the booster of one layer, whose B is zero. */
  start(path: string, a: Float32Array): void {
    const layer = this.#layers.get(path);
    if (layer === undefined) throw new RangeError(`${path} has no booster`);
    this.#device.write(layer.a, a);
  }

  /** Queues the end of round `round` (from 0): its boosters join the earlier ones, and are zero again. */
  join(round: number): void {
    for (const slot of new Set([...this.#layers.values()].map(({ slot }) => slot))) {
      const [rank = 0, width = 0] = slot.shape;
      const values = new Float32Array(rank * width);
      for (let row = 0; row < rank; row++) values[row * width + round * rank + row] = 1;
      this.#device.write(slot, values);
    }
    this.#device.run(this.#join);
  }

  /** All boosters that have joined as one adapter, described like the first. */
  async adapter({ description, modules }: HostAdapter): Promise<HostAdapter> {
    const { peft } = description;
    const boosted = peft === null ? null : boostedConfig(peft, this.#growth);
    const read = async (tensor: Tensor) => {
      const values = await this.#device.readFloats(tensor);
      return values instanceof Float32Array ? values : Float32Array.from(values);
    };
    const grown = new Map<string, HostModule>();
    for (const [path, module] of modules) {
      const earlier = this.earlier.get(path);
      if (earlier === undefined) throw new RangeError(`${path} has no booster`);
      const shape = boostedShape(module.shape, this.#growth);
      const scale = boosted === null ? shape.scale : loraScale(boosted, path, shape.rank);
      const [a, b] = [await read(earlier.a), await read(earlier.b)];
      grown.set(path, { shape: { ...shape, scale }, a, b });
    }
    return { description: { ...description, peft: boosted }, modules: grown };
  }

  /** Frees the earlier boosters. */
  release(): void {
    this.#join.release();
    this.#scope.release();
  }
}

/** Copies a booster to its place: products with ones and zeros, added to zeros, are exact. */
function recordJoin(operations: Operations, { a, b, slot, earlier }: LayerBoosters): void {
  const accumulate = true;
  operations.matmul({ left: slot, right: a, output: earlier.a, orientation: "tn", accumulate });
  operations.matmul({ left: b, right: slot, output: earlier.b, orientation: "nn", accumulate });
}

/** The settings of a plain LoRA of all boosters: the rank grows, so alpha grows with it. */
function boostedConfig(config: PeftConfig, { rounds, step_size }: Growth): PeftConfig {
  const { r, lora_alpha, use_rslora } = config;
  const growth = step_size * (use_rslora === true ? Math.sqrt(rounds) : rounds);
  return { ...config, r: rounds * r, lora_alpha: growth * lora_alpha };
}
