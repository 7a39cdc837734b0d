/**
 * Sums over groups of neighbouring features, and their transpose: pooling and repetition in the
 * adapters, forward and backward, with dropout on the narrow side.
 *
 * @module
 */

import type { Dropout, Tensor } from "../device.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { entryPoint, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Between `narrow [M, F]` and `wide [M, F * width]`. */
export interface FeatureGroups {
  readonly label: string;
  readonly narrow: Tensor;
  readonly wide: Tensor;
  readonly width: number;
  readonly factor: number;
  /** Masks the narrow side; element e is kept iff `threefry(key, [e, stream])[0] >= rate 2^32`. */
  readonly dropout: Dropout | undefined;
}

/** `narrow[m, j] = factor * mask[m, j] * sum of wide[m, j * width + i] over i`. */
export function gatherGroups(context: KernelContext, groups: FeatureGroups): Dispatch {
  const { width } = groups;
  const vector = width % 4 === 0;
  return perElement(context, groups, {
    label: `${groups.label} gather${vector ? "" : "1"}`,
    size: groups.narrow.size,
    storage: [
      { name: "wide", tensor: groups.wide, access: "read", element: elementType(vector) },
      { name: "narrow", tensor: groups.narrow, access: "read_write", element: "f32" },
    ],
    code: `  var sum = ${elementType(vector)}();
  let first = index * parameters.step;
  for (var i = 0u; i < parameters.step; i++) { sum += wide[first + i]; }
  narrow[index] = ${vector ? "dot(sum, vec4<f32>(1.0))" : "sum"} * factor(index);`,
    step: vector ? width / 4 : width,
  });
}

/** `wide[m, n] += factor * mask[m, n / width] * narrow[m, n / width]`. */
export function scatterGroups(context: KernelContext, groups: FeatureGroups): Dispatch {
  const { width } = groups;
  const vector = width % 4 === 0;
  return perElement(context, groups, {
    label: `${groups.label} scatter${vector ? "" : "1"}`,
    size: vector ? groups.wide.size / 4 : groups.wide.size,
    storage: [
      { name: "narrow", tensor: groups.narrow, access: "read", element: "f32" },
      { name: "wide", tensor: groups.wide, access: "read_write", element: elementType(vector) },
    ],
    code: `  let source = index / parameters.step;
  wide[index] += ${elementType(vector)}(narrow[source] * factor(source));`,
    step: vector ? width / 4 : width,
  });
}

interface PerElement {
  readonly label: string;
  readonly size: number;
  readonly storage: readonly Storage[];
  readonly code: string;
  readonly step: number;
}

function perElement(
  context: KernelContext,
  { factor, dropout }: FeatureGroups,
  { label, size, storage, code, step }: PerElement,
): Dispatch {
  const workgroupSize = context.profile.class === "software" ? 8 : 64;
  const count = Math.ceil(size / workgroupSize);
  const across = Math.min(count, context.profile.maxWorkgroupsPerDimension);
  const key: Storage[] = dropout
    ? [{ name: "key", tensor: dropout.key, access: "read", element: "u32" }]
    : [];
  return dispatchOf(context.profile, {
    label: `${label}${dropout ? " dropout" : ""}`,
    storage: [...storage, ...key],
    uniforms: {
      size: u32(size),
      across: u32(across * workgroupSize),
      step: u32(step),
      factor: f32(dropout ? factor / (1 - dropout.rate) : factor),
      ...(dropout
        ? { threshold: u32(Math.floor(dropout.rate * 2 ** 32)), stream: u32(dropout.stream) }
        : {}),
    },
    body: `${
      dropout
        ? `${THREEFRY}
fn factor(element: u32) -> f32 {
  return select(0.0, parameters.factor, threefry(element, parameters.stream) >= parameters.threshold);
}`
        : "fn factor(element: u32) -> f32 { return parameters.factor; }"
    }
${
      entryPoint(
        workgroupSize,
        `  let index = group.y * parameters.across + group.x * ${workgroupSize}u + lane;
  if (index >= parameters.size) { return; }
${code}`,
      )
    }`,
    workgroups: [across, Math.ceil(count / across), 1],
  });
}

function elementType(vector: boolean): string {
  return vector ? "vec4<f32>" : "f32";
}

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** First word of `threefry` of `random.ts` under the bound key. */
const THREEFRY = `fn threefry(counter0: u32, counter1: u32) -> u32 {
  let schedule0 = key[0];
  let schedule1 = key[1];
  let schedule2 = 0x1bd11bdau ^ schedule0 ^ schedule1;
  var x = counter0 + schedule0;
  var y = counter1 + schedule1;
${
  unroll(20, (round) => {
    const rotation = ROTATIONS[round % 8] as number;
    const mix = `  x += y; y = ((y << ${rotation}u) | (y >> ${32 - rotation}u)) ^ x;`;
    if (round % 4 !== 3) return mix;
    const injection = (round + 1) / 4;
    return `${mix}
  x += schedule${injection % 3}; y += schedule${(injection + 1) % 3} + ${injection}u;`;
  })
}
  return x;
}`;
