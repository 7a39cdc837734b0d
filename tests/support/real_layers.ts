/**
 * Layers of a real model with the Gram matrices of their inputs on real text.
 *
 * @module
 */

import { join } from "node:path";
import { openCpu } from "../../kernels/cpu/device.ts";
import { calibrate } from "../../pipeline/calibration/calibrate.ts";
import { drawWindows } from "../../pipeline/calibration/windows.ts";
import { Tokenizer } from "../../pipeline/data/tokenizer.ts";
import type { Matrix } from "../../pipeline/linalg/matrix.ts";
import { ModelFolder } from "../../pipeline/models/model_folder.ts";
import { TEST_DATA } from "./optional.ts";

/** A linear layer and the inputs that it sees. */
export interface RealLayer {
  readonly path: string;
  readonly rows: number;
  readonly columns: number;
  /** `[rows, columns]`. */
  readonly weights: Float32Array;
  /** `[columns, columns]`, from more tokens than columns. */
  readonly gram: Matrix;
}

/** The layers of `tinystories-656k` that are asked for; needs {@linkcode TEST_DATA}. */
export async function realLayers(isWanted: (path: string) => boolean): Promise<RealLayer[]> {
  using source = ModelFolder.open(join(TEST_DATA, "models/tinystories-656k"));
  const text = await Deno.readTextFile(join(TEST_DATA, "text/tinystories/stories.txt"));
  const tokens = Tokenizer.open(source.folder, source.config.vocabSize).encode(
    text.slice(0, 40_000),
  );
  const shape = { samples: 16, length: 128, batchSize: 4 };
  const layers: RealLayer[] = [];
  const scratch = await Deno.makeTempDir();
  const device = await openCpu();
  try {
    await calibrate({
      device,
      source,
      windows: drawWindows(tokens, shape, 1),
      shape,
      needs: ({ path }) => isWanted(path) ? { gram: true, sample: false } : null,
      scratch: join(scratch, "hidden_states"),
      signal: new AbortController().signal,
      visit: (linear, calibration) => {
        if (calibration === undefined) return;
        const { path, rows, columns } = linear;
        const weights = new Float32Array(rows * columns);
        source.readWeight(linear, weights);
        layers.push({ path, rows, columns, weights, gram: calibration.gram });
      },
    });
  } finally {
    device.close();
    await Deno.remove(scratch, { recursive: true });
  }
  return layers;
}

/** The bytes of an array, as a file holds them. */
export function bytesOf(array: Float32Array | Float64Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.slice().buffer);
}
