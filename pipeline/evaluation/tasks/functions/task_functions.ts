/**
 * What `!function` may name: our own counterparts of Python functions that task files refer to.
 *
 * @module
 */

import type { Fields } from "../fields.ts";
import type { SampleMetric, SampleResponse } from "../sample.ts";

/** Functions of a task, by the names that `!function` has for them behind the name of the task. */
export interface TaskFunctions {
  /** Folder of the task in the harness, or the last part of its `dataset_path` ("hellaswag"). */
  readonly task: string;
  /** `process_docs`: what becomes of a row. */
  readonly rows?: Readonly<Record<string, (row: Fields) => Fields>>;
  /** `doc_to_text`, `doc_to_target`, `doc_to_choice`. */
  readonly fields?: Readonly<Record<string, (document: Fields) => unknown>>;
  /** `process_results`: the metrics of an item, from the response to each of its requests. */
  readonly results?: Readonly<
    Record<
      string,
      (
        document: Fields,
        responses: readonly SampleResponse[],
      ) => Readonly<Record<string, SampleMetric>>
    >
  >;
}
