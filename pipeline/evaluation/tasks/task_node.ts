/**
 * Tasks and groups of tasks, checked and ready to be asked.
 *
 * @module
 */

import type { AggregateConfig, TaskConfig } from "./task_schema.ts";
import type { FunctionReference } from "./task_yaml.ts";

/** One benchmark, or one subject of it. */
export interface Task {
  readonly kind: "task";
  /** "mmlu_anatomy". */
  readonly name: string;
  readonly config: TaskConfig;
  /**
   * Names that `!function` of this task may be found under: its folder, its data set, itself.
   * Functions of the bundled tasks are named in full.
   */
  readonly owners: readonly string[];
  /** The rows that belong to it, where one set of files has those of several tasks ("anatomy"). */
  readonly subset: string | null;
  /** "FILE:LINE" of a part of the configuration. */
  place(steps: readonly PropertyKey[]): string;
  /** Files that it was read from. */
  readonly files: readonly string[];
}

/** Tasks that are averaged. */
export interface Group {
  readonly kind: "group";
  readonly name: string;
  readonly alias: string | null;
  readonly children: readonly TaskNode[];
  /** Other groupings of the same tasks, which are reported besides. */
  readonly views: readonly Group[];
  readonly aggregates: readonly AggregateConfig[];
  readonly version: number | string | null;
  readonly files: readonly string[];
}

/** See the module documentation. */
export type TaskNode = Task | Group;

/** All tasks under a node, in order, each once. */
export function leaves(node: TaskNode): Task[] {
  return node.kind === "task" ? [node] : [...new Set(node.children.flatMap(leaves))];
}

/** All groups under a node and beside it, outermost first. */
export function groups(node: TaskNode): Group[] {
  if (node.kind === "task") return [];
  return [node, ...node.children.flatMap(groups), ...node.views.flatMap(groups)];
}

/** Version of a task or group, from its metadata. */
export function versionOf(
  metadata: Readonly<Record<string, unknown>> | null | undefined,
): number | string | null {
  const version = metadata?.version;
  return typeof version === "number" || typeof version === "string" ? version : null;
}

/** Whether a part of a configuration names a function. */
export function isFunction(value: unknown): value is FunctionReference {
  return typeof value === "object" && value !== null && "function" in value && "place" in value;
}
