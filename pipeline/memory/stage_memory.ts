/**
 * The memory of one stage: what it will hold, where, and from when to when.
 *
 * @module
 */

import { CountingDevice } from "../../kernels/counting/device.ts";
import type { Account, Ledger, Lifetime } from "../../kernels/counting/ledger.ts";
import { type MemoryModel, plainMemory } from "../../kernels/counting/memory_model.ts";
import type { Forecast } from "../graph/stage.ts";
import { kindOf, TENSOR_KINDS } from "./kinds.ts";

/** Things of one kind. */
export interface MemoryItem {
  /** "optimizer moments". */
  readonly what: string;
  /** What they take when most is held in all. */
  readonly bytes: number;
  /** "throughout", or the phases in which some of them are held: "layer by layer". */
  readonly when: string;
}

/** Memory in one place. */
export interface MemoryUse {
  /** The most that is held at once; the sum of the items. */
  readonly peak: number;
  /** In a fixed order of kinds. */
  readonly items: readonly MemoryItem[];
}

/** Memory of one stage. */
export interface StageMemory {
  /** Live tensors, as `Device.memory` counts them; null if the stage uses no device. */
  readonly device: MemoryUse | null;
  /** The largest tensor; of no bytes if there is none. */
  readonly largestTensor: { readonly label: string; readonly bytes: number };
  /** What the device would say at its first operation that it cannot do; null if it can do all. */
  readonly refused: string | null;
  /** The worker process, with the device's memory where that is the host's own. */
  readonly host: MemoryUse;
}

/**
 * Resident memory of a worker process before its stage does anything: Deno, the code, the collector's
 * slack. Measured; see `docs/memory.md`.
 */
const PROCESS_BYTES = 100e6;

/** Arrays that are garbage but not yet collected: V8 starts to care at 64 MiB of them. */
const UNCOLLECTED_BYTES = 64 * 2 ** 20;

/** Small arrays are collected sooner, with the young objects of the heap: measured, about these many. */
const UNCOLLECTED_ARRAYS = 12;

/** What opening a device adds to the process: threads or a driver, compiled kernels, staging. */
const DRIVER_BYTES: Readonly<Record<MemoryModel["info"]["name"], number>> = {
  cpu: 25e6,
  reference: 0,
  webgpu: 110e6,
};

/**
 * Rehearses a stage on a device that uses memory like `model` (null if no stage needs a device).
 *
 * @throws {UserError} If the stage would fail, whatever device there is.
 */
export function rehearse(forecast: Forecast, model: MemoryModel | null): StageMemory {
  const device = new CountingDevice(model ?? plainMemory("no device", Infinity));
  const { ledger } = device;
  let refused: string | null = null;
  try {
    forecast.rehearse(device);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    refused = error.message;
  }
  const onDevice = useOf(ledger, ["device"]);
  const used = onDevice.peak > 0;
  const onHost = useOf(ledger, device.inHostMemory ? ["host", "device"] : ["host"]);
  const host = [
    throughout("process", PROCESS_BYTES),
    throughout("device driver", used ? DRIVER_BYTES[device.info.name] : 0),
    throughout("not yet collected", uncollected(ledger)),
    ...onHost.items,
  ].filter(({ bytes }) => bytes > 0);
  return {
    device: used ? onDevice : null,
    largestTensor: device.largestTensor,
    refused,
    host: { peak: host.reduce((sum, { bytes }) => sum + bytes, 0), items: host },
  };
}

function throughout(what: string, bytes: number): MemoryItem {
  return { what, bytes, when: "throughout" };
}

/** Of what the host took and dropped again. */
function uncollected(ledger: Ledger): number {
  const dropped = ledger.lifetimes(["host"]).filter(({ dropped }) => dropped)
    .map(({ bytes }) => bytes);
  return Math.min(
    UNCOLLECTED_BYTES,
    UNCOLLECTED_ARRAYS * Math.max(0, ...dropped),
    dropped.reduce((sum, bytes) => sum + bytes, 0),
  );
}

function useOf(ledger: Ledger, accounts: readonly Account[]): MemoryUse {
  const groups = new Map<string, Lifetime[]>();
  const host = accounts.includes("host");
  for (const lifetime of ledger.lifetimes(accounts)) {
    const what = lifetime.account === "host"
      ? lifetime.label
      : host
      ? "device memory"
      : kindOf(lifetime.label) ?? "other";
    groups.set(what, [...groups.get(what) ?? [], lifetime]);
  }
  const items = [...groups].map(([what, lifetimes]) => ({
    what,
    bytes: lifetimes.reduce((sum, { bytes, atPeak }) => sum + (atPeak ? bytes : 0), 0),
    when: whenOf(ledger.phases, lifetimes),
  }));
  const order = (what: string) => host ? 0 : TENSOR_KINDS.indexOf(what);
  return {
    peak: ledger.peak(accounts),
    items: items.filter(({ bytes }) => bytes > 0)
      .toSorted((left, right) => order(left.what) - order(right.what)),
  };
}

/** The phases that one of some lifetimes touches. */
function whenOf(phases: readonly string[], lifetimes: readonly Lifetime[]): string {
  const touched = phases.filter((_, phase) =>
    lifetimes.some(({ from, to }) => from <= phase && phase <= to)
  );
  return touched.length === phases.length ? "throughout" : touched.join(", ");
}
