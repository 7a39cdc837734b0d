/**
 * Sums over groups of neighbouring features, and their transpose: pooling and repetition in the
 * adapters, forward and backward, with dropout on the narrow side.
 *
 * @module
 */

import type { Dropout, Tensor } from "../device.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { elementType } from "./product_code.ts";
import { perElement } from "./per_element.ts";
import { THREEFRY } from "./threefry.ts";
import { f32, u32 } from "./wgsl.ts";

/** Between `narrow [M, F]` and `wide [M, F * width]`. */
export interface FeatureGroups {
  /** For timing tables and error messages. */
  readonly label: string;
  /** `[M, F]`. */
  readonly narrow: Tensor;
  /** `[M, F * width]`. */
  readonly wide: Tensor;
  /** Neighbouring wide features per narrow one. */
  readonly width: number;
  /** Multiplies every result. */
  readonly factor: number;
  /** Masks the narrow side; element e is kept iff `threefry(key, [e, stream])[0] >= rate 2^32`. */
  readonly dropout: Dropout | undefined;
}

/** `narrow[m, j] = factor * mask[m, j] * sum of wide[m, j * width + i] over i`. */
export function gatherGroups({ profile }: KernelContext, groups: FeatureGroups): Dispatch {
  const { label, narrow, wide, width } = groups;
  const vector = width % 4 === 0;
  const { suffix, storage, uniforms, declarations } = maskedFactor(groups);
  return perElement(profile, {
    label: `${label} gather${suffix}`,
    size: narrow.size,
    storage: [
      { name: "wide", tensor: wide, access: "read", element: elementType(vector) },
      { name: "narrow", tensor: narrow, access: "read_write", element: "f32" },
      ...storage,
    ],
    uniforms: { step: u32(vector ? width / 4 : width), ...uniforms },
    declarations,
    code: `  var sum = ${elementType(vector)}();
  let first = index * parameters.step;
  for (var i = 0u; i < parameters.step; i++) { sum += wide[first + i]; }
  narrow[index] = ${vector ? "dot(sum, vec4<f32>(1.0))" : "sum"} * factor(index);`,
  });
}

/** `wide[m, n] += factor * mask[m, n / width] * narrow[m, n / width]`. */
export function scatterGroups({ profile }: KernelContext, groups: FeatureGroups): Dispatch {
  const { label, narrow, wide, width } = groups;
  const vector = width % 4 === 0;
  const { suffix, storage, uniforms, declarations } = maskedFactor(groups);
  return perElement(profile, {
    label: `${label} scatter${suffix}`,
    size: narrow.size,
    storage: [
      { name: "narrow", tensor: narrow, access: "read", element: "f32" },
      { name: "wide", tensor: wide, access: "read_write", element: elementType(vector) },
      ...storage,
    ],
    uniforms: { step: u32(vector ? width / 4 : width), ...uniforms },
    declarations,
    code: `  let value = narrow[index] * factor(index);
  let first = index * parameters.step;
  for (var i = 0u; i < parameters.step; i++) { wide[first + i] += value; }`,
  });
}

/** The multiplier of a narrow element, `factor(element)`. */
function maskedFactor({ factor, dropout }: FeatureGroups) {
  if (!dropout) {
    return {
      suffix: "",
      storage: [],
      uniforms: { factor: f32(factor) },
      declarations: "fn factor(element: u32) -> f32 { return parameters.factor; }",
    };
  }
  const { rate, key, stream } = dropout;
  return {
    suffix: " dropout",
    storage: [{ name: "key", tensor: key, access: "read", element: "u32" }] as const,
    uniforms: {
      factor: f32(factor / (1 - rate)),
      threshold: u32(Math.floor(rate * 2 ** 32)),
      stream: u32(stream),
    },
    declarations: `${THREEFRY}
fn factor(element: u32) -> f32 {
  let kept = threefry(vec2<u32>(key[0], key[1]), vec2<u32>(element, parameters.stream)) >= parameters.threshold;
  return select(0.0, parameters.factor, kept);
}`,
  };
}
