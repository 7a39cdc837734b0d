/**
 * A few rows of real tokens that travel with an adapter, so that a merge can compare the models before
 * and after on text they know.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import type { Dataset } from "../data/dataset.ts";
import { readJsonOrNull } from "../formats/files.ts";

const PROBE_FILE = "probe.json";

/** Tokens kept at most; a row is kept whole or cut to this. */
export const PROBE_TOKENS = 2048;

const probeSchema = z.object({ rows: z.array(z.array(z.int().nonnegative())) });

/** Keeps the first rows of a dataset. */
export async function writeProbe(folder: string, dataset: Dataset): Promise<void> {
  const rows: number[][] = [];
  let tokens = 0;
  for (let index = 0; index < dataset.size && tokens < PROBE_TOKENS; index++) {
    const row = [...dataset.example(index).tokens.subarray(0, PROBE_TOKENS - tokens)];
    tokens += row.length;
    rows.push(row);
  }
  await Deno.writeTextFile(join(folder, PROBE_FILE), JSON.stringify({ rows }) + "\n");
}

/** The rows that {@linkcode writeProbe} kept; null if the folder has none. */
export function readProbe(folder: string): readonly Uint32Array[] | null {
  const json = readJsonOrNull(join(folder, PROBE_FILE));
  if (json === null) return null;
  const { rows } = probeSchema.parse(json);
  return rows.map((row) => Uint32Array.from(row));
}
