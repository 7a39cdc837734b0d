/**
 * Where a person's paths start: `deno task` changes to the folder of `deno.json`, and keeps the folder
 * that the command was given in as `INIT_CWD`.
 *
 * @module
 */

import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = resolve(fileURLToPath(new URL("../", import.meta.url)));

/** A path of the command line as an absolute one. */
export function fromCaller(path: string): string {
  return resolve(callerFolder(Deno.cwd(), Deno.env.get("INIT_CWD")), path);
}

/**
 * `INIT_CWD` counts only in the folder that `deno task` changes to: elsewhere it is left over from a
 * task that started this program in another folder.
 */
export function callerFolder(current: string, initial: string | undefined): string {
  return initial !== undefined && resolve(current) === REPOSITORY ? initial : current;
}
