/**
 * Kernels without a reduction across invocations: code that runs once for each index.
 *
 * @module
 */

import type { Dispatch, Profile, Uniform } from "./program.ts";
import { entryPoint } from "./unroll.ts";
import { dispatchOf, splitWork, type Storage, u32 } from "./wgsl.ts";

/** Code for each index below `size`. */
export interface PerElement {
  /** For timing tables and error messages. */
  readonly label: string;
  /** Number of indices. */
  readonly size: number;
  /** Buffers to bind. */
  readonly storage: readonly Storage[];
  /** Readable as `parameters.name`; not "size" or "perGroup". */
  readonly uniforms?: Readonly<Record<string, Uniform>>;
  /** Functions that `code` calls. */
  readonly declarations?: string;
  /** Statements that see `index: u32`. */
  readonly code: string;
}

/** The dispatch of a per-element kernel. */
export function perElement(profile: Profile, kernel: PerElement): Dispatch {
  const lanes = profile.class === "software" ? Math.max(profile.subgroupSize, 8) : 64;
  const split = splitWork(profile, Math.ceil(kernel.size / lanes));
  return dispatchOf(profile, {
    label: kernel.label,
    storage: kernel.storage,
    uniforms: {
      size: u32(kernel.size),
      perGroup: u32(split.perGroup * lanes),
      ...kernel.uniforms,
    },
    body: `${kernel.declarations ?? ""}
fn element(index: u32) {
${kernel.code}
}
${
      entryPoint(
        lanes,
        `  let first = group.x * parameters.perGroup;
  let end = min(first + parameters.perGroup, parameters.size);
  for (var index = first + lane; index < end; index += ${lanes}u) { element(index); }`,
      )
    }`,
    workgroups: [split.groups, 1, 1],
  });
}
