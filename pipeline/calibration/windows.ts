/**
 * Calibration text as windows of tokens.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { type ResolveReference, tokenizeDocuments } from "../data/text.ts";
import { concatenate } from "../data/text_windows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import type { CalibrationOptions, CalibrationShape } from "./options.ts";

/**
 * Draws windows from a stream of tokens: `samples` rows of `length`, one after the other. Each begins
 * anywhere in one of `samples` equal parts of the stream, so that they spread over all of it, as
 * GPTQ's independent draws do on average, and overlap only if the stream is short.
 *
 * @throws {RangeError} If the stream is shorter than one window.
 *
 * @example
 * ```ts
 * import { drawWindows } from "./windows.ts";
 *
 * const stream = Uint32Array.from({ length: 100 }, (_, index) => index);
 * const windows = drawWindows(stream, { samples: 2, length: 10 }, 7);
 * if (windows.length !== 20) throw new Error("two windows");
 * if (windows[9]! - windows[0]! !== 9) throw new Error("of consecutive tokens");
 * if (windows[10]! < 45) throw new Error("the second from the second half of where one can begin");
 * ```
 */
export function drawWindows(
  stream: Uint32Array,
  { samples, length }: Pick<CalibrationShape, "samples" | "length">,
  seed: number,
): Uint32Array {
  const starts = stream.length - length + 1;
  if (starts < 1) {
    throw new RangeError(`A stream of ${stream.length} tokens has no window of ${length}`);
  }
  const random = new RandomStream(seed, "calibration windows");
  const windows = new Uint32Array(samples * length);
  for (let sample = 0; sample < samples; sample++) {
    const start = Math.floor((sample + random.uniform(sample)) / samples * starts);
    windows.set(stream.subarray(start, start + length), sample * length);
  }
  return windows;
}

/**
 * Reads, tokenizes and cuts the text of a `calibration:`.
 *
 * @returns `samples` rows of `length` token ids.
 * @throws {UserError} If the text cannot be read, is empty, or is shorter than one window.
 */
export async function readWindows(
  { data }: CalibrationOptions,
  shape: CalibrationShape,
  tokenizer: Tokenizer,
  seed: number,
  resolve: ResolveReference,
): Promise<Uint32Array> {
  const stream = concatenate(await tokenizeDocuments(data, tokenizer, resolve));
  if (stream.length < shape.length) {
    throw new UserError(
      `The calibration text ${[data.text].flat().join(", ")} has ${stream.length} tokens, less ` +
        `than one window of ${shape.length}; set a smaller calibration.length or add text`,
    );
  }
  return drawWindows(stream, shape, seed);
}
