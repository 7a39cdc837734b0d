/**
 * The cells of a grid: `grid` (a product), `zip` (lists that advance together), `exclude` and
 * `include`.
 *
 * @module
 */

import { isDeepStrictEqual } from "node:util";
import {
  keysAt,
  type LocatedEntry,
  type LocatedMap,
  lookup,
  obstacle,
  originOfKey,
  type Path,
  place,
  toPlain,
} from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";
import { didYouMean } from "./suggestions.ts";

/** More cells than anyone means to run. */
const MAXIMUM_CELLS = 100_000;

/** All points of the grid. */
export interface Grid {
  /** Paths of the axes in the order declared. */
  readonly axes: readonly string[];
  /** For each cell, the document with its values in their places. */
  readonly cells: readonly LocatedMap[];
}

/** One value for one axis. */
interface Assignment {
  readonly axis: string;
  readonly entry: LocatedEntry;
}

/**
 * All combinations of one entry of each list, the last list varying fastest.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(product([["a", "b"], ["c"]]), [["a", "c"], ["b", "c"]]);
 * ```
 */
export function product<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>(
    (rows, list) => rows.flatMap((row) => list.map((item) => [...row, item])),
    [[]],
  );
}

/**
 * Where an axis stands in the document: "seed", "vars.name", or "node.parameter". Null if there is no
 * such variable or node.
 */
export function axisPath(axis: string, document: LocatedMap): Path | null {
  const path = axis.split(".");
  const [head = "", second = ""] = path;
  if (axis === "seed") return path;
  if (second === "" || second === "stage") return null;
  if (head === "vars") return keysAt(document, ["vars"]).includes(second) ? path : null;
  return keysAt(document, ["graph"]).includes(head) ? ["graph", ...path] : null;
}

function reportAxis(
  axis: string,
  document: LocatedMap,
  origin: Origin,
  problems: ProblemList,
): void {
  const [head = "", second = ""] = axis.split(".");
  const nodes = keysAt(document, ["graph"]);
  if (head === "vars" && second !== "") {
    const suggestion = didYouMean(second, keysAt(document, ["vars"]));
    const variable = JSON.stringify(second);
    problems.add(origin, `${axis}: no variable ${variable} is declared in vars${suggestion}`);
  } else if (nodes.includes(head)) {
    problems.add(origin, `${axis}: an axis names a parameter of a node ("${head}.parameter")`);
  } else {
    problems.add(
      origin,
      `${axis}: ${JSON.stringify(head)} is not a node of the graph ` +
        "(an axis is node.parameter, seed or vars.name)" +
        didYouMean(head, [...nodes, "seed", "vars"]),
    );
  }
}

/** The axes that `grid` and `zip` vary, with the places where they are named. */
export function* declaredAxes(
  document: LocatedMap,
): Generator<{ readonly section: "grid" | "zip"; readonly axis: string; readonly key: Origin }> {
  for (const section of ["grid", "zip"] as const) {
    const value = lookup(document, [section]);
    for (const map of value?.kind === "list" ? value.items : [value]) {
      if (map?.kind !== "map") continue;
      for (const [axis, { key }] of map.entries) yield { section, axis, key };
    }
  }
}

/**
 * Expands the sections `grid`, `zip`, `exclude` and `include`. The order is that of an odometer:
 * the axes of `grid` in the order written, then the zips, the last varying fastest; then the cells of
 * `include` that are not there yet. An entry of `include` gives the values it names; all else is as
 * the graph says. `exclude` removes cells of the product, never those of `include`. Without `grid` and
 * `zip` the cells are those of `include`; without that, too, there is one.
 *
 * @param document Its shape has been checked.
 */
export function expandGrid(document: LocatedMap, problems: ProblemList): Grid {
  const wheels = [...gridWheels(document, problems), ...zipWheels(document, problems)];
  const count = wheels.reduce((size, wheel) => size * wheel.length, 1);
  const include = partials(document, "include");
  const exclude = partials(document, "exclude");
  const axes = [
    ...new Set(
      [...wheels.map(([first]) => first ?? []), ...include].flat().map(
        ({ axis }) => axis,
      ),
    ),
  ];
  if (count > MAXIMUM_CELLS) {
    problems.add(
      originOfKey(document, ["grid"]),
      `The grid has ${count} cells, more than the ${MAXIMUM_CELLS} that are allowed`,
    );
    return { axes, cells: [document] };
  }
  const patterns = exclude.map((partial) => pattern(partial, document, problems))
    .filter((parts) => parts.length > 0);
  const choices = wheels.length === 0 && include.length > 0 ? [] : product(wheels);
  const cells = choices
    .map((choice) => placeAll(document, choice.flat(), problems))
    .filter((cell) => !patterns.some((parts) => matches(cell, parts)));
  for (const partial of include) {
    const added = placeAll(document, partial, problems);
    const paths = axes.flatMap((axis) => {
      const path = axisPath(axis, document);
      return path === null ? [] : [path];
    });
    if (!cells.some((cell) => paths.every((path) => areEqual(cell, added, path)))) {
      cells.push(added);
    }
  }
  if (cells.length === 0) {
    problems.add(originOfKey(document, ["exclude"]), "exclude leaves no cell of the grid");
  }
  return { axes, cells };
}

function areEqual(a: LocatedMap, b: LocatedMap, path: Path): boolean {
  return isDeepStrictEqual(plainAt(a, path), plainAt(b, path));
}

function plainAt(document: LocatedMap, path: Path): unknown {
  const part = lookup(document, path);
  return part === null ? undefined : toPlain(part);
}

/** The lists of `grid`: each position of a wheel assigns one axis. */
function gridWheels(document: LocatedMap, problems: ProblemList): Assignment[][][] {
  const grid = lookup(document, ["grid"]);
  if (grid?.kind !== "map") return [];
  return [...grid.entries].map(([axis, { key, value }]) => {
    const items = value.kind === "list" ? value.items : [];
    reportRepeated(axis, items.map((item) => [item.origin, toPlain(item)]), problems);
    return items.map((item) => [{ axis, entry: { key, value: item } }]);
  });
}

/** The maps of `zip`: each position of a wheel assigns all axes of one map. */
function zipWheels(document: LocatedMap, problems: ProblemList): Assignment[][][] {
  const zip = lookup(document, ["zip"]);
  const taken = new Set(keysAt(document, ["grid"]));
  const wheels: Assignment[][][] = [];
  for (const map of zip?.kind === "list" ? zip.items : [zip]) {
    if (map?.kind !== "map" || map.entries.size === 0) continue;
    const lists = [...map.entries].map(([axis, { key, value }]) => {
      if (taken.has(axis)) {
        problems.add(key, `${axis} is an axis of grid or of another zip already`);
      }
      taken.add(axis);
      return { axis, key, items: value.kind === "list" ? value.items : [] };
    });
    const [first] = lists;
    for (const { axis, key, items } of lists) {
      if (items.length !== first?.items.length) {
        problems.add(
          key,
          `The lists of a zip must be equally long: ${axis} has ${items.length} values, ` +
            `${first?.axis} has ${first?.items.length}`,
        );
      }
    }
    const length = Math.min(...lists.map(({ items }) => items.length));
    wheels.push(Array.from({ length }, (_, index) =>
      lists.flatMap(({ axis, key, items }) => {
        const value = items[index];
        return value === undefined ? [] : [{ axis, entry: { key, value } }];
      })));
  }
  return wheels;
}

function reportRepeated(
  axis: string,
  values: readonly (readonly [Origin, unknown])[],
  problems: ProblemList,
): void {
  const seen = new Set<string>();
  for (const [origin, value] of values) {
    const text = JSON.stringify(value);
    if (seen.has(text)) problems.add(origin, `${axis} lists ${text} twice`);
    seen.add(text);
  }
}

function partials(document: LocatedMap, section: "include" | "exclude"): Assignment[][] {
  const list = lookup(document, [section]);
  if (list?.kind !== "list") return [];
  return list.items.map((item) =>
    item.kind === "map" ? [...item.entries].map(([axis, entry]) => ({ axis, entry })) : []
  );
}

/** The shorter paths first, so that an axis inside the value of another one is not overwritten. */
function placeAll(
  document: LocatedMap,
  assignments: readonly Assignment[],
  problems: ProblemList,
): LocatedMap {
  const ordered = assignments.map((assignment) => ({
    ...assignment,
    path: axisPath(assignment.axis, document),
  })).sort((a, b) => (a.path?.length ?? 0) - (b.path?.length ?? 0));
  let cell = document;
  for (const { axis, path, entry } of ordered) {
    if (path === null) {
      reportAxis(axis, document, entry.key, problems);
      continue;
    }
    const blocked = obstacle(cell, path);
    if (blocked === null) cell = place(cell, path, entry.value, entry.key) as LocatedMap;
    else {
      const around = (blocked[0] === "graph" ? blocked.slice(1) : blocked).join(".");
      problems.add(entry.key, `${axis}: ${around} is not a map, so nothing can be set inside it`);
    }
  }
  return cell;
}

/** What an entry of `exclude` matches. */
type Pattern = readonly { readonly path: Path; readonly value: unknown }[];

function pattern(
  partial: readonly Assignment[],
  document: LocatedMap,
  problems: ProblemList,
): Pattern {
  return partial.flatMap(({ axis, entry }) => {
    const path = axisPath(axis, document);
    if (path !== null) return [{ path, value: toPlain(entry.value) }];
    reportAxis(axis, document, entry.key, problems);
    return [];
  });
}

function matches(cell: LocatedMap, partial: Pattern): boolean {
  return partial.every(({ path, value }) => isDeepStrictEqual(plainAt(cell, path), value));
}
