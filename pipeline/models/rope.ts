// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Tables of rotary embeddings (Su et al. 2021), with the scalings that long-context models use.
 *
 * @module
 */

import type { ModelConfig, RopeScaling } from "./config.ts";

/** `cosines` and `sines`, each `[positions, rotaryDim / 2]`. */
export interface RopeTables {
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

/** Tables for the first `positions` positions. */
export function ropeTables(config: ModelConfig, positions: number): RopeTables {
  const frequencies = ropeFrequencies(config);
  const factor = attentionFactor(config.ropeScaling);
  const half = frequencies.length;
  const cosines = new Float64Array(positions * half);
  const sines = new Float64Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      cosines[position * half + i] = Math.cos(position * frequencies[i]!) * factor;
      sines[position * half + i] = Math.sin(position * frequencies[i]!) * factor;
    }
  }
  return { cosines, sines };
}

/** Radians per position of each feature pair, `[rotaryDim / 2]`. */
export function ropeFrequencies(config: ModelConfig): Float64Array {
  const { rotaryDim, ropeTheta, ropeScaling } = config;
  const plain = Float64Array.from(
    { length: rotaryDim / 2 },
    (_, i) => ropeTheta ** (-2 * i / rotaryDim),
  );
  if (ropeScaling === null) return plain;
  switch (ropeScaling.type) {
    case "linear": // Position interpolation (Chen et al. 2023).
      return plain.map((frequency) => frequency / ropeScaling.factor);
    case "llama3":
      return plain.map((frequency) => llama3(frequency, ropeScaling));
    case "yarn":
      return yarn(plain, config, ropeScaling);
  }
}

/** Long wavelengths are interpolated, short ones kept, those between blended (Llama 3.1). */
function llama3(frequency: number, scaling: RopeScaling & { type: "llama3" }): number {
  const rotations = scaling.originalPositions * frequency / (2 * Math.PI);
  const { lowFrequencyFactor: low, highFrequencyFactor: high, factor } = scaling;
  if (rotations < low) return frequency / factor;
  if (rotations > high) return frequency;
  const smooth = (rotations - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

/** "NTK by parts" of YaRN (Peng et al. 2023, section 3.2), with the rounding of its released code. */
function yarn(
  plain: Float64Array,
  config: ModelConfig,
  scaling: RopeScaling & { type: "yarn" },
): Float64Array {
  const { rotaryDim, ropeTheta } = config;
  const dimensionOf = (rotations: number) =>
    rotaryDim * Math.log(scaling.originalPositions / (rotations * 2 * Math.PI)) /
    (2 * Math.log(ropeTheta));
  const round = scaling.truncate
    ? { low: Math.floor, high: Math.ceil }
    : { low: (value: number) => value, high: (value: number) => value };
  const low = Math.max(round.low(dimensionOf(scaling.betaFast)), 0);
  const high = Math.min(round.high(dimensionOf(scaling.betaSlow)), rotaryDim - 1);
  return plain.map((frequency, i) => {
    const ramp = (i - low) / (high === low ? 0.001 : high - low);
    const interpolated = Math.min(Math.max(ramp, 0), 1);
    return frequency / scaling.factor * interpolated + frequency * (1 - interpolated);
  });
}

/** YaRN scales cosines and sines instead of the attention's temperature (section 3.4). */
function attentionFactor(scaling: RopeScaling | null): number {
  if (scaling?.type !== "yarn") return 1;
  if (scaling.attentionFactor !== null) return scaling.attentionFactor;
  return scaling.factor <= 1 ? 1 : 0.1 * Math.log(scaling.factor) + 1;
}
