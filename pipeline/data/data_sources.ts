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
  if ("text" in data) return listed(data.text, `${path}.text`);
  if ("jsonl" in data) return listed(data.jsonl, `${path}.jsonl`);
  const { rows, template } = data;
  return [
    ...listed(rows, `${path}.rows`),
    ...(typeof template === "object" && "file" in template
      ? listed(template.file, `${path}.template.file`)
      : []),
  ];
}

function listed(references: string | readonly string[], path: string): DataReference[] {
  if (typeof references === "string") return [{ reference: references, path }];
  return references.map((reference, index) => ({ reference, path: `${path}.${index}` }));
}
