// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Gradient clipping and AdamW.
 *
 * @module
 */

/**
 * `output[0] = sqrt(sum of squares of all gradients)`,
 * `output[1] = min(1, maxNorm / (norm + 1e-6))` (Pascanu et al. 2013, as PyTorch's `clip_grad_norm_`).
 *
 * @param output `[2]`
 */
export function gradientNorm(
  gradients: readonly Float64Array[],
  maxNorm: number,
  output: Float64Array,
): void {
  let sum = 0;
  for (const gradient of gradients) {
    for (const value of gradient) sum += value * value;
  }
  const norm = Math.sqrt(sum);
  output[0] = norm;
  output[1] = maxNorm === Infinity ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
}

/**
 * One step of AdamW (Loshchilov & Hutter 2019, Algorithm 2), in the order of PyTorch:
 * `p -= lr wd p`, `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
 * `p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + epsilon)`, where `g` is clipped by `norm[1]`.
 *
 * @param hyper `[8]`: lr, b1, b2, epsilon, wd, 1 - b1^t, 1 - b2^t, unused
 * @param norm `[2]` from {@linkcode gradientNorm}
 */
export function adamw(
  parameters: Float64Array,
  gradients: Float64Array,
  moment1: Float64Array,
  moment2: Float64Array,
  hyper: Float64Array,
  norm: Float64Array,
): void {
  const [rate, beta1, beta2, epsilon, decay, correction1, correction2] = [0, 1, 2, 3, 4, 5, 6]
    .map((index) => hyper[index]!) as [number, number, number, number, number, number, number];
  for (let i = 0; i < parameters.length; i++) {
    const gradient = gradients[i]! * norm[1]!;
    moment1[i] = beta1 * moment1[i]! + (1 - beta1) * gradient;
    moment2[i] = beta2 * moment2[i]! + (1 - beta2) * gradient * gradient;
    const decayed = parameters[i]! * (1 - rate * decay);
    const denominator = Math.sqrt(moment2[i]! / correction2) + epsilon;
    parameters[i] = decayed - rate / correction1 * moment1[i]! / denominator;
  }
}
