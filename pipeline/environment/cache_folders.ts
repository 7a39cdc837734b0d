/**
 * The folders that fill up over time, and how full they are.
 *
 * @module
 */

import { join } from "node:path";
import { hubCache } from "../hub/settings.ts";
import { ROOT } from "./adapter_stamp.ts";

/** A folder that holds what can be made or fetched again. */
export interface CacheFolder {
  /** What it is for: "results of stages", "compiled shaders". */
  readonly purpose: string;
  /** Absolute path. */
  readonly path: string;
  /** Bytes in its files, or null if there is no such folder. */
  readonly bytes: number | null;
}

/** Lists the caches of this project and of what it runs on, with their sizes. */
export function cacheFolders(environment: Readonly<Record<string, string>>): CacheFolder[] {
  return cachePaths(environment).map(([purpose, path]) => ({
    purpose,
    path,
    bytes: folderBytes(path),
  }));
}

/** Purposes and paths of the caches, by the rules of the programs that own them. */
export function cachePaths(environment: Readonly<Record<string, string>>): [string, string][] {
  const home = environment["HOME"] ?? environment["USERPROFILE"] ?? ".";
  const cache = environment["XDG_CACHE_HOME"] ?? join(home, ".cache");
  return [
    ["results of stages", environment["EQUIPOISE_STORE"] ?? join(ROOT, "runs", ".store")],
    // Mesa 25 keeps its shaders in the second; which one is an option of its build.
    ...["mesa_shader_cache", "mesa_shader_cache_db"].map((name): [string, string] => [
      "compiled shaders (Mesa)",
      join(environment["MESA_SHADER_CACHE_DIR"] ?? cache, name),
    ]),
    ["compiled shaders (NVIDIA)", join(home, ".nv", "ComputeCache")],
    ["Deno and npm packages", environment["DENO_DIR"] ?? denoFolder(home, cache)],
    ["Hugging Face hub", hubCache(environment)],
  ];
}

/** Bytes in all files below a folder; links are not followed. Null if there is no such folder. */
export function folderBytes(folder: string): number | null {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(folder)];
  } catch {
    return null;
  }
  let bytes = 0;
  for (const { name, isDirectory, isFile } of entries) {
    const path = join(folder, name);
    if (isDirectory) bytes += folderBytes(path) ?? 0;
    else if (isFile) bytes += fileBytes(path);
  }
  return bytes;
}

/** Files come and go while others work in the folder. */
function fileBytes(path: string): number {
  try {
    return Deno.lstatSync(path).size;
  } catch {
    return 0;
  }
}

function denoFolder(home: string, cache: string): string {
  if (Deno.build.os === "darwin") return join(home, "Library", "Caches", "deno");
  return join(cache, "deno");
}
