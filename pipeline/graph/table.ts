/**
 * The `table:` section.
 *
 * @module
 */

import type { TableSpecification } from "./experiment.ts";
import { child, type LocatedMap, lookup, toPlain } from "./located.ts";
import type { Origin } from "./origin.ts";
import { checkMetricPath, checkParameterPath, type NamedParts } from "./path_checks.ts";
import type { ProblemList } from "./problems.ts";
import { didYouMeanOf } from "./suggestions.ts";

/**
 * The `table:` section with single paths made lists, null if there is none. Paths that name no axis,
 * parameter or metric are reported.
 *
 * @param document The shape of its `table` has been checked.
 */
export function resolveTable(
  document: LocatedMap,
  parts: NamedParts,
  problems: ProblemList,
): TableSpecification | null {
  const table = lookup(document, ["table"]);
  if (table?.kind !== "map") return null;
  const title = child(table, "title");
  const axes = [...new Set([...parts.axes, "seed"])];
  return {
    rows: pathsOf(table, "rows", (path, where, origin) => {
      checkParameterPath(path, where, origin, parts, problems);
    }),
    columns: pathsOf(table, "columns", (path, where, origin) => {
      checkParameterPath(path, where, origin, parts, problems);
    }),
    values: pathsOf(table, "value", (path, where, origin) => {
      checkMetricPath(path, where, origin, parts, problems);
    }),
    over: pathsOf(table, "over", (path, where, origin) => {
      if (axes.includes(path)) return;
      problems.add(
        origin,
        `${where}: ${JSON.stringify(path)} is not an axis${didYouMeanOf(path, axes)}`,
      );
    }),
    ...(title === null ? {} : { title: String(toPlain(title)) }),
  };
}

function pathsOf(
  table: LocatedMap,
  key: string,
  check: (path: string, where: string, origin: Origin) => void,
): string[] {
  const value = child(table, key);
  if (value === null) return [];
  return (value.kind === "list" ? value.items : [value]).map((item) => {
    const path = String(toPlain(item));
    check(path, `table.${key}`, item.origin);
    return path;
  });
}
