/**
 * Checks the dotted paths by which tables and exclusions name axes, parameters and metrics.
 *
 * @module
 */

import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";
import { allowedMap, hasPath, jsonSchemaOf } from "./schema_paths.ts";
import type { Stage } from "./stage.ts";
import { didYouMean } from "./suggestions.ts";

/** What a path can name. */
export interface NamedParts {
  /** Paths of the axes of the grid. */
  readonly axes: readonly string[];
  /** Names of the variables. */
  readonly variables: readonly string[];
  /** All nodes of the graph. */
  readonly nodes: ReadonlyMap<string, NamedNode>;
}

/** What a path can name in a node. */
export interface NamedNode {
  /** Null if the node names no known stage, which is reported already. */
  readonly stage: Stage | null;
  /** Nodes it reads in any cell. */
  readonly inputs: ReadonlySet<string>;
}

/**
 * Reports a path that names neither an axis, nor a variable, nor a parameter that its node can have.
 *
 * @param where The section with the path ("table.rows"), which begins the message.
 */
export function checkParameterPath(
  path: string,
  where: string,
  origin: Origin,
  parts: NamedParts,
  problems: ProblemList,
): void {
  const { axes, variables, nodes } = parts;
  if (path === "seed" || axes.includes(path)) return;
  const [head = "", ...rest] = path.split(".");
  if (head === "vars" && variables.includes(rest.join("."))) return;
  const node = nodes.get(head);
  const candidates = ["seed", ...axes, ...variables.map((name) => `vars.${name}`)];
  if (node === undefined) {
    candidates.push(...[...nodes.keys()].map((name) => [name, ...rest].join(".")));
  } else {
    if (node.stage === null) return;
    const schema = jsonSchemaOf(node.stage.parameters);
    if (rest.length > 0 && hasPath(schema, rest)) return;
    const around = rest.slice(0, -1);
    for (const key of allowedMap(schema, undefined, around).keys) {
      candidates.push([head, ...around, key].join("."));
    }
  }
  problems.add(
    origin,
    `${where}: ${JSON.stringify(path)} names no axis and no parameter of a node` +
      didYouMean(path, candidates),
  );
}

/** Reports a path that is not `node.metric`, or `node.input.metric` where the node's stage fans out. */
export function checkMetricPath(
  path: string,
  where: string,
  origin: Origin,
  { nodes }: NamedParts,
  problems: ProblemList,
): void {
  const [head = "", ...rest] = path.split(".");
  const node = nodes.get(head);
  const quoted = JSON.stringify(path);
  if (node === undefined) {
    problems.add(
      origin,
      `${where}: ${quoted} names no node of the graph${didYouMean(head, nodes.keys())}`,
    );
    return;
  }
  if (node.stage === null) return;
  const inputs = [...node.inputs];
  if (!node.stage.fansOut || inputs.length === 0) {
    if (rest.length === 0) {
      problems.add(origin, `${where}: ${quoted} must name a metric of the node: ${head}.metric`);
    }
    return;
  }
  const [input = "", metric] = rest;
  if (inputs.includes(input) && metric !== undefined) return;
  problems.add(
    origin,
    `${where}: ${quoted} must be ${head}.input.metric, where the input is ${inputs.join(" or ")}` +
      (inputs.includes(input) ? "" : didYouMean(input, inputs)),
  );
}
