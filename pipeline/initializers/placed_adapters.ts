/**
 * Adapters on a device that train before there is an adapter artifact.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { adapterParameterShapes, placeOutline } from "../adapters/placement.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { LinearAdapter } from "../models/language_model.ts";
import { type Parameter, ParameterSpace } from "../models/parameters.ts";
import type { AdapterTargets } from "./model_initializer.ts";

/** The adapter of a layer; null if it is no target. */
export type AdapterOf = (linear: LinearShape) => LinearAdapter | null;

/** Allocates adapters for those of some layers that are targets. */
export function placeTargets(
  device: Device,
  linears: readonly LinearShape[],
  targets: AdapterTargets,
): { readonly factors: ParameterSpace; readonly adapterOf: AdapterOf } {
  const modules = new Map(
    linears.flatMap(({ path }) => {
      const target = targets.get(path);
      return target === undefined ? [] : [[path, target] as const];
    }),
  );
  const factors = new ParameterSpace(device, adapterParameterShapes({ modules }));
  const place = placeOutline({ modules });
  return { factors, adapterOf: (linear) => place(linear, factors) };
}

/** The values of one adapter as they are now. */
export async function readModule(
  device: Device,
  { a, b }: LinearAdapter,
  shape: AdapterShape,
): Promise<HostModule> {
  const read = async ({ value }: Parameter) => Float32Array.from(await device.readFloats(value));
  return { shape, a: a === null ? null : await read(a), b: await read(b) };
}

/** Frees all values of a space. */
export function freeSlabs(device: Device, { slabs }: ParameterSpace): void {
  for (const { parameters, gradients } of slabs) {
    device.free(parameters);
    device.free(gradients);
  }
}
