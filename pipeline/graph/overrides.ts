/**
 * `--set path=value`: changes to an experiment from the command line.
 *
 * @module
 */

import { parseYaml } from "./document.ts";
import { declaredAxes } from "./grid.ts";
import { keysAt, type LocatedMap, lookup, obstacle, type Path, place } from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";
import { didYouMean } from "./suggestions.ts";

/** First steps of a path that are keys of the file itself, not names of nodes. */
const SECTIONS = [
  "name",
  "description",
  "seed",
  "vars",
  "graph",
  "grid",
  "zip",
  "include",
  "exclude",
  "table",
];

/**
 * Applies `path=value` settings in order. A path begins with a key of the file ("seed",
 * "vars.model", "grid.adapter.rank") or with the name of a node ("base.quantizer.bits"); the value is
 * YAML and replaces what stood there.
 *
 * @param folder Absolute; relative paths in values are relative to it.
 */
export function applyOverrides(
  root: LocatedMap,
  settings: readonly string[],
  folder: string,
  problems: ProblemList,
): LocatedMap {
  let document = root;
  const applied: { readonly path: Path; readonly origin: Origin }[] = [];
  for (const setting of settings) {
    const option = `--set ${setting}`;
    const origin: Origin = { position: null, folder, option };
    const equals = setting.indexOf("=");
    if (equals < 1) {
      problems.add(origin, "write it as --set path=value");
      continue;
    }
    const path = documentPath(document, setting.slice(0, equals), origin, problems);
    const value = parseYaml(setting.slice(equals + 1), { option, folder }, problems);
    if (path === null || value === null) continue;
    const blocked = obstacle(document, path);
    if (blocked !== null) {
      const around = (blocked[0] === "graph" ? blocked.slice(1) : blocked).join(".");
      problems.add(origin, `${around} is not a map, so nothing can be set inside it`);
      continue;
    }
    document = place(document, path, value, origin) as LocatedMap;
    applied.push({ path, origin });
  }
  for (const { path, origin } of applied) reportHidden(document, path, origin, problems);
  return document;
}

function documentPath(
  document: LocatedMap,
  text: string,
  origin: Origin,
  problems: ProblemList,
): Path | null {
  const path = text.split(".");
  const [head = "", ...rest] = path;
  if (head === "grid" || (head === "zip" && lookup(document, ["zip"])?.kind === "map")) {
    return rest.length === 0 ? [head] : [head, rest.join(".")];
  }
  if (head === "vars" && rest.length > 0) {
    const variables = keysAt(document, ["vars"]);
    const [name = ""] = rest;
    if (!variables.includes(name)) {
      problems.add(
        origin,
        `no variable ${JSON.stringify(name)} is declared in vars${didYouMean(name, variables)}`,
      );
      return null;
    }
  }
  if (SECTIONS.includes(head)) return path;
  const nodes = keysAt(document, ["graph"]);
  if (nodes.includes(head)) return ["graph", ...path];
  problems.add(
    origin,
    `${JSON.stringify(head)} is neither a node of the graph nor a key of the file` +
      didYouMean(head, [...nodes, ...SECTIONS]),
  );
  return null;
}

/** A value that every cell of the grid replaces would be ignored without a word. */
function reportHidden(
  document: LocatedMap,
  path: Path,
  origin: Origin,
  problems: ProblemList,
): void {
  const text = (path[0] === "graph" ? path.slice(1) : path).join(".");
  for (const { section, axis } of declaredAxes(document)) {
    if (text === axis || text.startsWith(`${axis}.`)) {
      problems.add(
        origin,
        `has no effect, because ${section} gives ${axis} another value in every cell: ` +
          `change the axis instead${section === "grid" ? `, --set 'grid.${axis}=[...]'` : ""}`,
      );
    }
  }
}
