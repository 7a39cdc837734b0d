/**
 * All formats of tables. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import { csv, tsv } from "./csv.ts";
import { json } from "./json.ts";
import { jsonl } from "./jsonl.ts";
import { parquet } from "./parquet.ts";
import type { TableFormat } from "./table_format.ts";

/** All formats. */
export const TABLE_FORMATS: readonly TableFormat[] = [jsonl, json, csv, tsv, parquet];
