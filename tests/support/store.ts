/**
 * What a run has left in its folder of results.
 *
 * @module
 */

import { join } from "node:path";
import { listFiles } from "../../pipeline/graph/store_files.ts";
import { Store } from "../../pipeline/graph/store.ts";
import type { Manifest } from "../../pipeline/graph/manifest.ts";

/** Complete results of the store in `out`, by node. */
export async function resultsIn(out: string): Promise<Map<string, Manifest>> {
  using store = await Store.open(join(out, ".store"));
  const results = new Map<string, Manifest>();
  for await (const manifest of store.manifests()) results.set(manifest.node, manifest);
  return results;
}

/** SHA-256 of the files of every result in `out`, by node and path. */
export async function filesIn(out: string): Promise<Record<string, Record<string, string>>> {
  const results = await resultsIn(out);
  return Object.fromEntries(
    [...results].map(([node, { files }]) => [
      node,
      Object.fromEntries(files.map(({ path, sha256 }) => [path, sha256])),
    ]),
  );
}

/** Processes that are making a result of the store in `out`. */
export async function makersIn(out: string): Promise<number[]> {
  const locks = join(out, ".store", "locks");
  const makers: number[] = [];
  for await (const { name } of Deno.readDir(locks)) {
    const holder = await Deno.readTextFile(join(locks, name));
    const process = /^process (\d+) on /.exec(holder)?.[1];
    if (process !== undefined) makers.push(Number(process));
  }
  return makers;
}

/**
 * Files in `out` that are no part of a complete result, of the index or of what a run writes beside
 * its results: temporary files, locks and checkpoints.
 */
export async function unfinishedIn(out: string): Promise<string[]> {
  const known = new Set([
    ".store/index.sqlite",
    ".store/index.sqlite-wal",
    ".store/index.sqlite-shm",
  ]);
  for (const { key } of (await resultsIn(out)).values()) {
    known.add(`.store/results/${key.slice(0, 2)}/${key}`);
  }
  return (await listFiles(out)).filter((path) => {
    if (path.endsWith(".tmp")) return true;
    const result = path.split("/").slice(0, 4).join("/");
    return path.startsWith(".store/") && !known.has(path) && !known.has(result);
  });
}
