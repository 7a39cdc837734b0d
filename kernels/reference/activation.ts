// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Gated activation (Shazeer 2020, SwiGLU).
 *
 * @module
 */

/** `y = silu(g) u` with `silu(g) = g / (1 + exp(-g))`; all arrays of equal size. */
export function swiglu(gate: Float64Array, up: Float64Array, output: Float64Array): void {
  for (let i = 0; i < output.length; i++) output[i] = gate[i]! * sigmoid(gate[i]!) * up[i]!;
}

/**
 * Backward of {@linkcode swiglu}: `du = dy silu(g)`, `dg = dy u s (1 + g (1 - s))`, s = sigmoid(g).
 * `gradGate` may be `gate` and `gradUp` may be `up`.
 */
export function swigluBackward(
  gate: Float64Array,
  up: Float64Array,
  gradOutput: Float64Array,
  gradGate: Float64Array,
  gradUp: Float64Array,
): void {
  for (let i = 0; i < gradOutput.length; i++) {
    const g = gate[i]!;
    const u = up[i]!;
    const s = sigmoid(g);
    gradGate[i] = gradOutput[i]! * u * s * (1 + g * (1 - s));
    gradUp[i] = gradOutput[i]! * g * s;
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
