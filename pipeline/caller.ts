/**
 * Where a person's paths start: `deno task` changes to the folder of `deno.json`, and keeps the folder
 * that the command was given in as `INIT_CWD`.
 *
 * @module
 */

import { resolve } from "node:path";

/** A path of the command line as an absolute one. */
export function fromCaller(path: string): string {
  return resolve(Deno.env.get("INIT_CWD") ?? ".", path);
}
