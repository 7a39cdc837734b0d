/**
 * Which module of the repository imports which.
 *
 * @module
 */

import { join } from "node:path";
import { dirname, normalize } from "node:path/posix";

/** One TypeScript file. */
export interface Module {
  /** Relative to the root, with slashes. */
  readonly path: string;
  /** What is in the file. */
  readonly text: string;
  /** Paths of the modules of this repository that it imports, types included. */
  readonly imports: readonly string[];
}

/** Folders without source. */
const SKIPPED: ReadonlySet<string> = new Set(["node_modules", "runs"]);

/** Reads all modules below a folder, sorted by path. Hidden folders are left out. */
export async function readModules(root: string): Promise<Module[]> {
  const modules: Module[] = [];
  async function visit(folder: string): Promise<void> {
    for await (const { name, isDirectory, isFile } of Deno.readDir(join(root, folder))) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (isDirectory && !name.startsWith(".") && !SKIPPED.has(name)) await visit(path);
      if (isFile && name.endsWith(".ts")) {
        const text = await Deno.readTextFile(join(root, path));
        modules.push({ path, text, imports: importsOf(path, text) });
      }
    }
  }
  await visit("");
  return modules.sort((left, right) => left.path < right.path ? -1 : 1);
}

/** Paths that the module at `path` imports or re-exports by relative specifiers, outside comments. */
export function importsOf(path: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
  const statements = code.matchAll(/^(?:import|export)\b(?:[^;"'`]*?\bfrom)?\s*"(\.[^"]+\.ts)"/gm);
  const dynamic = code.matchAll(/\bimport\(\s*"(\.[^"]+\.ts)"\s*\)/g);
  const specifiers = [...statements, ...dynamic].map(([, specifier = ""]) => specifier);
  return [...new Set(specifiers)].map((specifier) => normalize(`${dirname(path)}/${specifier}`));
}

/** A path through `edges` that ends where it began, or null if there is none. */
export function findCycle(edges: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const trail: string[] = [];
  function visit(node: string): string[] | null {
    const start = trail.indexOf(node);
    if (start >= 0) return [...trail.slice(start), node];
    if (done.has(node)) return null;
    trail.push(node);
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next);
      if (cycle !== null) return cycle;
    }
    trail.pop();
    done.add(node);
    return null;
  }
  for (const node of edges.keys()) {
    const cycle = visit(node);
    if (cycle !== null) return cycle;
  }
  return null;
}
