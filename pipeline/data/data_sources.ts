/**
 * Which files the `data:` of a stage names, and where in its parameters they stand.
 *
 * @module
 */

import type { TrainingData } from "./load_dataset.ts";

/** A reference to files, with the path of the parameter that holds it. */
export interface DataReference {
  /** As the user wrote it: a path, a glob, `npm:name/glob`. */
  readonly reference: string;
  /** "data.text", or "data.text.1" for an entry of a list. */
  readonly path: string;
}

/** References of data that stands at `path` of a stage's parameters. */
export function dataSources(data: TrainingData, path: string): DataReference[] {
  const [key, references] = "text" in data ? ["text", data.text] : ["jsonl", data.jsonl];
  if (typeof references === "string") return [{ reference: references, path: `${path}.${key}` }];
  return references.map((reference, index) => ({ reference, path: `${path}.${key}.${index}` }));
}
