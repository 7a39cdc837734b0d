/**
 * An adapter on a device: which of its values train, and back to the host after training.
 *
 * @module
 */

import type { Device, Dropout, Tensor } from "../../kernels/device.ts";
import type {
  AdapterPlacement,
  FrozenPair,
  LanguageModel,
  LinearAdapter,
} from "../models/language_model.ts";
import type { ParameterShape } from "../models/parameters.ts";
import type { HostAdapter, HostModule } from "./adapter.ts";
import type { AdapterShape } from "./plan.ts";

/** The shapes of an adapter by path of the linear layer, without its values. */
export interface AdapterOutline {
  readonly modules: ReadonlyMap<string, { readonly shape: AdapterShape }>;
}

/** Names of the values of one layer's adapter among all of a model. */
export function factorNames(path: string): { readonly a: string; readonly b: string } {
  return { a: `${path}.lora_A`, b: `${path}.lora_B` };
}

/** Names and shapes of an adapter's values, for a `ParameterSpace` that trains them. */
export function adapterParameterShapes(adapter: AdapterOutline): ParameterShape[] {
  return [...adapter.modules].flatMap(([path, { shape }]) => {
    const names = factorNames(path);
    return [
      ...(shape.a === null ? [] : [{ name: names.a, shape: shape.a, decay: true }]),
      { name: names.b, shape: shape.b, decay: true },
    ];
  });
}

/** Dropout of all adapters of a model: one key, a mask of its own for every layer. */
export interface AdapterDropout {
  readonly rate: number;
  readonly key: Tensor;
}

/**
 * Puts each layer's adapter, without values, next to it while a model is allocated.
 *
 * @param frozen Pairs to add beside the adapters, by path.
 */
export function placeOutline(
  adapter: AdapterOutline,
  dropout: AdapterDropout | null = null,
  frozen: ReadonlyMap<string, FrozenPair> = new Map(),
): AdapterPlacement {
  const streams = new Map([...adapter.modules.keys()].map((path, stream) => [path, stream]));
  return ({ path }, parameters) => {
    const module = adapter.modules.get(path);
    if (module === undefined) return null;
    const { shape } = module;
    const names = factorNames(path);
    const a = shape.a === null ? null : parameters.place(names.a, shape.a);
    const b = parameters.place(names.b, shape.b);
    const { pool, repeat, rank, scale } = shape;
    const beside = frozen.get(path);
    const layerDropout: Dropout | null = dropout === null || dropout.rate === 0
      ? null
      : { ...dropout, stream: streams.get(path) ?? 0 };
    return {
      a,
      b,
      rank,
      pool,
      repeat,
      scale,
      ...(layerDropout === null ? {} : { dropout: layerDropout }),
      ...(beside === undefined ? {} : { frozen: beside }),
    };
  };
}

/** {@linkcode placeOutline} and the values at once. */
export function placeAdapter(
  device: Device,
  adapter: HostAdapter,
  dropout: AdapterDropout | null = null,
): AdapterPlacement {
  const place = placeOutline(adapter, dropout);
  return (linear, parameters) => {
    const placed = place(linear, parameters);
    const module = adapter.modules.get(linear.path);
    if (placed !== null && module !== undefined) writeModule(device, placed, module);
    return placed;
  };
}

/** Copies the values of an adapter into a model that was allocated with its outline. */
export function writeToDevice({ device, blocks }: LanguageModel, adapter: HostAdapter): void {
  for (const { linears } of blocks) {
    for (const { shape, adapter: placed } of Object.values(linears)) {
      const module = adapter.modules.get(shape.path);
      if (placed !== null && module !== undefined) writeModule(device, placed, module);
    }
  }
}

/** Copies the values of one layer's adapter to where it was placed. */
export function writeModule(device: Device, { a, b }: LinearAdapter, module: HostModule): void {
  if (a !== null && module.a !== null) device.write(a.value, module.a);
  device.write(b.value, module.b);
}

/** The adapter with the values that the model holds now. */
export async function readBackAdapter(
  model: LanguageModel,
  adapter: HostAdapter,
): Promise<HostAdapter> {
  const modules = new Map<string, HostModule>();
  const read = async (tensor: Tensor) => {
    const values = await model.device.readFloats(tensor);
    return values instanceof Float32Array ? values : Float32Array.from(values);
  };
  for (const block of model.blocks) {
    for (const { shape: { path }, adapter: placed } of Object.values(block.linears)) {
      const module = adapter.modules.get(path);
      if (module === undefined || placed === null) continue;
      const [a, b] = await Promise.all([
        placed.a === null ? null : read(placed.a.value),
        read(placed.b.value),
      ]);
      modules.set(path, { shape: module.shape, a, b });
    }
  }
  return { description: adapter.description, modules };
}
