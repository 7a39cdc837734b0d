/**
 * Where data comes from: turns the reference a user wrote (a path, a glob, `npm:package/glob`,
 * `hf:org/name`) into absolute paths.
 *
 * @module
 */

import { glob } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.ts";
import { statOrNull } from "../formats/files.ts";
import { isHubReference } from "../hub/reference.ts";
import { type HubOptions, resolveHub } from "../hub/resolve.ts";

/** The folder of this repository: its `node_modules` is searched last. */
const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));

const MAGIC = /[*?[\]{}]/;

/** What a reference stands for. */
export interface ResolvedSource {
  /** `list` for a glob: any number of files in order; `folder` and `file` have one path. */
  readonly kind: "file" | "folder" | "list";
  /** Absolute paths; the folder itself for a folder; sorted by code units for a glob. */
  readonly paths: readonly string[];
  /** Folder that names in a list are relative to. */
  readonly root: string;
  /**
   * Of a folder in the cache of the Hub: its files that count, absolute and sorted. Other programs
   * may put more into it, which all others may ignore.
   */
  readonly files?: readonly string[];
}

/**
 * Absolute paths of a reference: one file, one folder, or the sorted files that a glob matches.
 *
 * @param reference A path or glob, relative to `folder`; `npm:package/path-or-glob`; or
 * `hf:org/name[@revision][/path-or-glob]`, for a data set behind `hf:datasets/`, which is downloaded
 * where the cache lacks it.
 * @param folder Folder of the experiment file.
 * @param hub How to download.
 * @throws {UserError} If there is no such file, the glob matches nothing, the npm package is not
 * installed, or the download fails.
 */
export async function resolveSource(
  reference: string,
  folder: string,
  hub: HubOptions = {},
): Promise<readonly string[]> {
  return (await describeSource(reference, folder, hub)).paths;
}

/** Like {@linkcode resolveSource}, with what kind of thing the reference is. */
export async function describeSource(
  reference: string,
  folder: string,
  hub: HubOptions = {},
): Promise<ResolvedSource> {
  if (isHubReference(reference)) return await hubSource(reference, hub);
  if (reference === "") throw new UserError("The path of a data source is empty: give a file");
  const path = reference.startsWith("npm:")
    ? await npmPath(reference, folder)
    : isAbsolute(reference)
    ? reference
    : resolve(folder, reference);
  const info = statOrNull(path);
  if (info?.isDirectory) return { kind: "folder", paths: [path], root: path };
  if (info !== null) return { kind: "file", paths: [path], root: dirname(path) };
  if (!MAGIC.test(path)) {
    const where = path === reference ? "" : ` (looked for ${path})`;
    throw new UserError(`There is no file or folder "${reference}"${where}`);
  }
  const { root, pattern } = splitGlob(path);
  const paths: string[] = [];
  for await (const name of glob(pattern, { cwd: root })) {
    const found = join(root, name);
    if (statOrNull(found)?.isFile) paths.push(found);
  }
  if (paths.length === 0) {
    throw new UserError(`The pattern "${reference}" matches no file (searched in ${root})`);
  }
  return { kind: "list", paths: paths.sort(byCodeUnits), root };
}

async function hubSource(reference: string, options: HubOptions): Promise<ResolvedSource> {
  const { kind, root, files } = await resolveHub(reference, options);
  return kind === "folder" ? { kind, root, paths: [root], files } : { kind, root, paths: files };
}

/** Order of strings that no locale changes. */
export function byCodeUnits(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The leading folders without wildcards, and the rest. */
function splitGlob(path: string): { root: string; pattern: string } {
  let root = path;
  const rest: string[] = [];
  while (MAGIC.test(root)) {
    rest.unshift(basename(root));
    root = dirname(root);
  }
  return { root, pattern: rest.join("/") };
}

/** `npm:@scope/name/rest` as a path in the nearest `node_modules` that has the package. */
async function npmPath(reference: string, folder: string): Promise<string> {
  const parts = reference.slice("npm:".length).split("/");
  const name = parts.splice(0, parts[0]?.startsWith("@") ? 2 : 1).join("/");
  for (const start of [resolve(folder), REPOSITORY]) {
    for (let parent = start;; parent = dirname(parent)) {
      const candidate = join(parent, "node_modules", name);
      if (name !== "" && statOrNull(candidate) !== null) {
        // Deno links packages into node_modules; globs do not walk through links.
        return join(await Deno.realPath(candidate), ...parts);
      }
      if (parent === dirname(parent)) break;
    }
  }
  throw new UserError(
    `The npm package "${name}" of "${reference}" is not installed: add it to "imports" in deno.json and run \`deno install\``,
  );
}
