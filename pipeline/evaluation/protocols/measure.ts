/**
 * From losses to perplexities with their standard errors.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Metric } from "../../graph/stage.ts";
import { mean, meanStandardError } from "../statistics/standard_error.ts";

/**
 * `exp` of the mean of the windows' means; its standard error is the perplexity times that of the mean
 * (delta method), where there are two windows or more.
 *
 * @param losses `-log p` of the targets of each window.
 * @throws {UserError} If one is NaN or infinite.
 */
export function windowPerplexity(
  losses: readonly (readonly number[])[],
  protocol: string,
): Readonly<Record<string, Metric>> {
  const means = losses.map(mean);
  checkLosses(means, protocol);
  const perplexity = Math.exp(mean(means));
  return {
    perplexity: { value: perplexity, ...errorOf(meanStandardError(means), perplexity), protocol },
    tokens: { value: losses.reduce((sum, window) => sum + window.length, 0) },
    windows: { value: losses.length },
  };
}

/**
 * `sum losses / sum sizes` over documents, and the standard error of that ratio (Cochran 1977, Sampling
 * Techniques, section 2.11), where there are two documents or more.
 */
export function ratio(
  losses: readonly number[],
  sizes: readonly number[],
): { readonly value: number; readonly standardError: number | null } {
  const size = sizes.reduce((sum, value) => sum + value, 0);
  const value = losses.reduce((sum, loss) => sum + loss, 0) / size;
  // Of a ratio of means, the error is that of the mean residual over the mean size.
  const residuals = losses.map((loss, index) => loss - value * (sizes[index] ?? NaN));
  const error = meanStandardError(residuals);
  return { value, standardError: error === null ? null : error * losses.length / size };
}

/** The standard error of a function of a number, by its derivative there. */
export function errorOf(
  standardError: number | null,
  derivative: number,
): Pick<Metric, "standardError"> {
  return standardError === null ? {} : { standardError: standardError * derivative };
}

/**
 * Refuses losses that are no numbers.
 *
 * @throws {UserError} If one is NaN or infinite.
 */
export function checkLosses(losses: readonly number[], protocol: string): void {
  const broken = losses.find((loss) => !Number.isFinite(loss));
  if (broken === undefined) return;
  throw new UserError(
    `Perplexity (${protocol}) cannot be computed: the loss of a token is ${broken}; the model's ` +
      `weights or activations overflow`,
  );
}
