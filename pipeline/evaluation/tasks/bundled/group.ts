/**
 * Groups that are made by a program and not by a file.
 *
 * @module
 */

import type { Group, TaskNode } from "../task_node.ts";

/** A group whose mean weighs every item the same; the unweighted mean over tasks comes besides. */
export function groupOf(
  name: string,
  children: readonly TaskNode[],
  options: { readonly metric: string; readonly version: number; readonly alias?: string },
): Group {
  return {
    kind: "group",
    name,
    alias: options.alias ?? null,
    children,
    views: [],
    aggregates: [{ metric: options.metric, aggregation: "mean", weight_by_size: true }],
    version: options.version,
    files: [...new Set(children.flatMap(({ files }) => files))],
  };
}
