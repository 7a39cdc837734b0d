/**
 * Calibration windows that methods do not train on, to know when to stop.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";

/** Schema of the key `validation`, with the default that the method's authors used. */
export function validationShare(preset: number): z.ZodDefault<z.ZodNumber> {
  return z.number().gt(0).max(0.5).default(preset)
    .describe("Share of the calibration windows that is not trained on and decides what is kept.");
}

/** Indices of windows. */
export interface WindowSplit {
  /** Those to train on, in the order of the text. */
  readonly training: readonly number[];
  /** The others. */
  readonly heldOut: readonly number[];
}

/**
 * Splits `samples` windows so that those held out spread over the text as evenly as the others.
 *
 * @throws {UserError} If there is only one window.
 *
 * @example
 * ```ts
 * import { holdOut } from "./held_out.ts";
 *
 * const { training, heldOut } = holdOut(10, 0.2, "rilq");
 * if (heldOut.join() !== "4,9" || training.length !== 8) throw new Error("every fifth");
 * ```
 */
export function holdOut(samples: number, share: number, method: string): WindowSplit {
  if (samples < 2) {
    throw new UserError(
      `${method} trains on some calibration windows and checks itself on others, but there is ` +
        `${samples}; set calibration.samples to 2 or more`,
    );
  }
  const count = Math.min(samples - 1, Math.max(1, Math.round(share * samples)));
  const training: number[] = [];
  const heldOut: number[] = [];
  for (let window = 0; window < samples; window++) {
    const chosen =
      Math.floor((window + 1) * count / samples) > Math.floor(window * count / samples);
    (chosen ? heldOut : training).push(window);
  }
  return { training, heldOut };
}
