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

/** What runs in `out` have left unfinished: results being made, checkpoints, locks, temporary files. */
export async function unfinishedIn(out: string): Promise<string[]> {
  const unfinished = (await listFiles(out)).filter((path) => path.endsWith(".tmp"));
  for (const name of ["tmp", "checkpoints", "locks"]) {
    for await (const entry of Deno.readDir(join(out, ".store", name))) {
      unfinished.push(`${name}/${entry.name}`);
    }
  }
  const complete = new Set([...(await resultsIn(out)).values()].map(({ key }) => key));
  const results = join(out, ".store", "results");
  for (const path of await listFiles(results)) {
    if (!complete.has(path.split("/")[1] ?? "")) unfinished.push(`results/${path}`);
  }
  return unfinished;
}
