/**
 * Reads an experiment file and the files that it `extends`.
 *
 * @module
 */

import { dirname, isAbsolute, join, resolve } from "node:path";
import { parseYaml } from "./document.ts";
import { type LocatedMap, merge, without } from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";

/**
 * Reads a YAML file, laid over the files named by its `extends`: maps are merged key by key, lists and
 * scalars replaced; of several base files the later wins. `name` is not inherited, because two
 * experiments under one name would overwrite each other's results.
 *
 * @param file As the user gave it; positions show it like this.
 * @returns The document without `extends`, or null if it cannot be read (then `problems` says why).
 */
export function readExperimentFile(
  file: string,
  problems: ProblemList,
): Promise<LocatedMap | null> {
  return read(file, [], null, problems);
}

async function read(
  file: string,
  readers: readonly string[],
  reference: Origin | null,
  problems: ProblemList,
): Promise<LocatedMap | null> {
  const start = readers.findIndex((reader) => resolve(reader) === resolve(file));
  if (start >= 0) {
    const cycle = [...readers.slice(start), file].join(" -> ");
    problems.add(reference, `A file cannot extend itself: ${cycle}`);
    return null;
  }
  const text = await readText(file, reference, problems);
  if (text === null) return null;
  const root = parseYaml(text, { file, folder: resolve(dirname(file)) }, problems);
  if (root === null) return null;
  if (root.kind !== "map") {
    problems.add(root.origin, 'An experiment file must be a map with the key "graph"');
    return null;
  }
  let below: LocatedMap | null = null;
  for (const { path, origin } of baseFiles(root, file, problems)) {
    const base = await read(path, [...readers, file], origin, problems);
    if (base === null) continue;
    const inherited = without(base, ["name"]);
    below = below === null ? inherited : merge(below, inherited) as LocatedMap;
  }
  const own = without(root, ["extends"]);
  return below === null ? own : merge(below, own) as LocatedMap;
}

async function readText(
  file: string,
  reference: Origin | null,
  problems: ProblemList,
): Promise<string | null> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.IsADirectory
      ? "it is a folder"
      : error.message;
    problems.add(reference, `Cannot read the experiment file ${JSON.stringify(file)}: ${reason}`);
    return null;
  }
}

function baseFiles(
  root: LocatedMap,
  file: string,
  problems: ProblemList,
): { readonly path: string; readonly origin: Origin }[] {
  const value = root.entries.get("extends")?.value;
  if (value === undefined) return [];
  const files = [];
  for (const item of value.kind === "list" ? value.items : [value]) {
    if (item.kind === "scalar" && typeof item.value === "string" && item.value !== "") {
      const path = isAbsolute(item.value) ? item.value : join(dirname(file), item.value);
      files.push({ path, origin: item.origin });
    } else {
      problems.add(item.origin, "extends must be the path of a YAML file, or a list of paths");
    }
  }
  return files;
}
