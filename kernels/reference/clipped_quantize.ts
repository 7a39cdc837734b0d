// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Quantization with learned clipping (ApiQ, Liao et al. 2024).
 *
 * @module
 */

/** Settings of {@linkcode clippedQuantize}; see `ClippedGrid` in `device.ts`. */
export interface ClippedSettings {
  /** Weights that share a grid. */
  readonly groupSize: number;
  /** Bits of a code. */
  readonly bits: number;
  /** Whether zero is the middle of the codes. */
  readonly symmetric: boolean;
  /** Whether zero is always a value of the grid. */
  readonly containsZero: boolean;
}

/** The grid of one group, and how its ends move it. */
interface Grid {
  readonly scale: number;
  readonly zero: number;
  /** `d scale / d upper`. */
  readonly scaleByUpper: number;
  /** `d scale / d lower`. */
  readonly scaleByLower: number;
}

const [LEAST_SCALE, LARGEST_SCALE] = [1e-5, 1e4];
const LARGEST_ZERO = 1e4;

/**
 * `output = scale (clamp(round(w / scale) + zero, 0, 2^bits - 1) - zero)`, group by group.
 *
 * @param weight w `[rows, columns]`
 * @param upper logits `[rows * columns / groupSize]`
 * @param lower logits like `upper`
 * @param output `[rows, columns]`
 */
export function clippedQuantize(
  weight: Float64Array,
  upper: Float64Array,
  lower: Float64Array,
  output: Float64Array,
  settings: ClippedSettings,
): void {
  const { groupSize, bits } = settings;
  for (let group = 0; group < upper.length; group++) {
    const first = group * groupSize;
    const values = weight.subarray(first, first + groupSize);
    const { scale, zero } = gridOf(values, upper[group]!, lower[group]!, settings);
    values.forEach((w, k) => {
      const code = clamp(roundHalfEven(w / scale) + zero, 0, 2 ** bits - 1);
      output[first + k] = scale * (code - zero);
    });
  }
}

/**
 * Backward of {@linkcode clippedQuantize} with respect to the clip logits. With the inner rounding
 * passed straight through and `zero` constant, `output = scale (w / scale + zero - zero) = w` where
 * the code is not clamped, up to the rounding error that the pass leaves standing:
 * `d output / d scale = (code - zero) - w / scale`. A clamped code is a constant:
 * `d output / d scale = code - zero`.
 *
 * @param weight w `[rows, columns]`
 * @param upper logits `[rows * columns / groupSize]`
 * @param lower logits like `upper`
 * @param gradOutput `[rows, columns]`
 * @param gradUpper like `upper`, added to
 * @param gradLower like `lower`, added to
 */
export function clippedQuantizeBackward(
  weight: Float64Array,
  upper: Float64Array,
  lower: Float64Array,
  gradOutput: Float64Array,
  gradUpper: Float64Array,
  gradLower: Float64Array,
  settings: ClippedSettings,
): void {
  const { groupSize, bits } = settings;
  for (let group = 0; group < upper.length; group++) {
    const first = group * groupSize;
    const values = weight.subarray(first, first + groupSize);
    const grid = gridOf(values, upper[group]!, lower[group]!, settings);
    const { scale, zero } = grid;
    let gradScale = 0;
    values.forEach((w, k) => {
      const wanted = roundHalfEven(w / scale) + zero;
      const code = clamp(wanted, 0, 2 ** bits - 1);
      const slope = code === wanted ? code - zero - w / scale : code - zero;
      gradScale += gradOutput[first + k]! * slope;
    });
    gradUpper[group]! += gradScale * grid.scaleByUpper;
    gradLower[group]! += gradScale * grid.scaleByLower;
  }
}

function gridOf(
  values: Float64Array,
  upper: number,
  lower: number,
  { bits, symmetric, containsZero }: ClippedSettings,
): Grid {
  const maximum = values.reduce((a, b) => Math.max(a, b), containsZero ? 0 : -Infinity);
  const minimum = values.reduce((a, b) => Math.min(a, b), containsZero ? 0 : Infinity);
  const [high, low] = [sigmoid(upper) * maximum, sigmoid(lower) * minimum];
  const highByUpper = sigmoid(upper) * sigmoid(-upper) * maximum;
  const lowByLower = sigmoid(lower) * sigmoid(-lower) * minimum;
  const levels = symmetric ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const range = symmetric ? Math.max(Math.abs(high), Math.abs(low)) : high - low;
  const scale = clamp(range / levels, LEAST_SCALE, LARGEST_SCALE);
  const zero = symmetric ? levels : roundHalfEven(clamp(-low / scale, -LARGEST_ZERO, LARGEST_ZERO));
  if (scale !== range / levels) return { scale, zero, scaleByUpper: 0, scaleByLower: 0 };
  if (!symmetric) {
    return { scale, zero, scaleByUpper: highByUpper / levels, scaleByLower: -lowByLower / levels };
  }
  const byUpper = Math.abs(high) >= Math.abs(low);
  return {
    scale,
    zero,
    scaleByUpper: byUpper ? Math.abs(highByUpper) / levels : 0,
    scaleByLower: byUpper ? 0 : Math.abs(lowByLower) / levels,
  };
}

/** The nearest integer, the even one of two. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return rest < 0.5 ? below : below + 1;
}

function clamp(value: number, least: number, largest: number): number {
  return Math.min(Math.max(value, least), largest);
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
