/**
 * The parameters of one node: checked by its stage, with paths made absolute.
 *
 * @module
 */

import { isAbsolute, join } from "node:path";
import {
  type Located,
  type LocatedMap,
  lookup,
  originOf,
  originOfKey,
  type Path,
  place,
  scalars,
  toPlain,
} from "./located.ts";
import type { Origin } from "./origin.ts";
import type { ProblemList } from "./problems.ts";
import { jsonSchemaOf } from "./schema_paths.ts";
import type { Source, Stage } from "./stage.ts";
import { enumerate } from "./suggestions.ts";
import { explainIssues } from "./validation_messages.ts";

/** The parameters of a node as they are written. */
export interface WrittenParameters {
  /** Name of the node. */
  readonly name: string;
  /** Where the name stands. */
  readonly key: Origin;
  /** The keys besides `stage` and `from`, with `${name}` replaced. */
  readonly written: LocatedMap;
}

/**
 * Parses the parameters of a node by its stage's schema. Relative paths among them (those that the
 * stage lists as sources) are made absolute, from the folder of the file in which they are written;
 * references that begin with `npm:` or `hf:` are left alone.
 *
 * @returns Undefined if there are mistakes, which go to `problems`.
 */
export function parseParameters(
  node: WrittenParameters,
  stage: Stage,
  problems: ProblemList,
): unknown {
  const { name, written } = node;
  const value = toPlain(written);
  const parsed = stage.parameters.safeParse(value);
  if (!parsed.success) {
    const checked = {
      value,
      schema: jsonSchemaOf(stage.parameters),
      label: name,
      keys: stage.accepts.length > 0 ? ["stage", "from"] : ["stage"],
    };
    for (const { path, about, message } of explainIssues(parsed.error.issues, checked)) {
      const part = lookup(written, path);
      // What stands there is an undefined variable, which is reported already.
      if (part?.kind === "scalar" && part.unresolved === true) continue;
      problems.add(originInNode(node, path, about), message);
    }
    return undefined;
  }
  const sources = stage.sources(parsed.data);
  checkEnvironment(name, written, sources, problems);
  const absolute = withAbsolutePaths(written, sources);
  return absolute === written ? parsed.data : stage.parameters.parse(toPlain(absolute));
}

/** Where a part of a node was written; the node's own key if it is not written at all. */
export function originInNode(
  node: WrittenParameters,
  path: Path,
  about: "key" | "value",
): Origin {
  if (path[0] === undefined || !node.written.entries.has(path[0])) return node.key;
  return about === "key" ? originOfKey(node.written, path) : originOf(node.written, path);
}

/** Elsewhere than in a path an environment variable would change results, not the file. */
function checkEnvironment(
  name: string,
  written: LocatedMap,
  sources: readonly Source[],
  problems: ProblemList,
): void {
  for (const [path, scalar] of scalars(written)) {
    const text = path.join(".");
    const isPath = sources.some((source) =>
      text === source.path || text.startsWith(`${source.path}.`)
    );
    if (scalar.environment === undefined || isPath) continue;
    problems.add(
      scalar.origin,
      `${name}.${text} uses the environment variable ${enumerate(scalar.environment, "and")}, ` +
        "which is allowed only where the value is a path",
    );
  }
}

function withAbsolutePaths(written: LocatedMap, sources: readonly Source[]): LocatedMap {
  let absolute: Located = written;
  for (const { reference, path } of sources) {
    if (isAbsolute(reference) || /^(npm|hf):/.test(reference)) continue;
    const steps = pathOfReference(absolute, reference, path === "" ? [] : path.split("."));
    const scalar = lookup(absolute, steps);
    if (scalar?.kind !== "scalar" || scalar.value !== reference) continue;
    const value = join(scalar.origin.folder, reference);
    absolute = place(absolute, steps, { ...scalar, value }, originOfKey(absolute, steps));
  }
  return absolute as LocatedMap;
}

/** A source may stand for one entry of a list of paths. */
function pathOfReference(parameters: Located, reference: string, path: Path): Path {
  const part = lookup(parameters, path);
  if (part?.kind !== "list") return path;
  const index = part.items.findIndex((item) => item.kind === "scalar" && item.value === reference);
  return [...path, String(index)];
}
