/**
 * The file that keeps what was measured: choices by device. A file that is missing, unreadable or
 * from other kernels only means that the static table is used.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Tensor } from "../device.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";
import type { KernelContext, Profile, Tuning } from "./program.ts";
import { isTuning, STATIC_TUNING, tuningFamilies } from "./tuning.ts";

/** Hears why a file cannot be used, in one sentence. */
export type Warn = (message: string) => void;

/**
 * What a choice depends on: the device (adapter, driver, class of kernels, whose WebGPU), the version
 * of Deno, and the code of the kernels for every alternative.
 */
export function tuningKey(deviceClass: string, profile: Profile): string {
  return `${deviceClass}; deno ${Deno.version.deno}; kernels ${kernelHash(profile)}`;
}

/** The choices for a key, which is asked for only if there is a file; null if it has none. */
export function readTuning(
  path: string,
  key: () => string,
  profile: Profile,
  warn: Warn,
): Tuning | null {
  const entries = readEntries(path, warn);
  if (Object.keys(entries).length === 0) return null;
  const found = entries[key()];
  if (found === undefined) return null;
  if (isTuning(found, profile)) return found;
  warn(`The tuning file ${path} has choices that these kernels do not have: it is ignored`);
  return null;
}

/** Keeps the choices for a key, next to those of other devices. */
export function writeTuning(path: string, key: string, tuning: Tuning, warn: Warn): void {
  const entries = { ...readEntries(path, warn), [key]: tuning };
  const temporary = `${path}.${Deno.pid}`;
  Deno.writeTextFileSync(temporary, JSON.stringify(entries, null, 2) + "\n");
  Deno.renameSync(temporary, path);
}

function readEntries(path: string, warn: Warn): Record<string, unknown> {
  let text;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      warn(`The tuning file ${path} cannot be read (${error}): it is ignored`);
    }
    return {};
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Said below.
  }
  warn(`The tuning file ${path} is no JSON object: it is ignored; delete it or tune again`);
  return {};
}

/** Of the code of a layer, forward and backward, in several sizes and under every alternative. */
function kernelHash(profile: Profile): string {
  const hash = createHash("sha256");
  for (const option of tuningFamilies(profile).flatMap(({ options }) => options)) {
    const tuning = { ...STATIC_TUNING[profile.class], ...option };
    const context: KernelContext = {
      profile: { ...profile, tuning },
      scratch: (dtype, shape) => planned(shape, dtype),
    };
    for (const M of [1, 64, 1024]) {
      const weight = {
        format: "integer",
        rows: 1024,
        columns: 1024,
        bits: 4,
        blockRows: 1,
        blockColumns: 32,
        codes: planned([1024, 128], "u32"),
        scales: planned([1024, 32]),
        zeros: planned([1024, 32]),
      } as const;
      const [left, right] = [planned([M, 1024]), planned([M, 1024])];
      const dispatches = [
        ...linear(context, { input: left, weight, output: right }),
        ...linearTransposed(context, { gradOutput: left, weight, gradInput: right }),
      ];
      for (const { code } of dispatches) hash.update(code);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

function planned(shape: readonly number[], dtype: Tensor["dtype"] = "f32"): Tensor {
  return { dtype, shape, size: shape.reduce((size, n) => size * n, 1), label: "planned" };
}
