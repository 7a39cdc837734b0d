/**
 * Makes WebGPU usable before a command opens it.
 *
 * @module
 */

import { resolve } from "node:path";
import { UserError } from "../errors.ts";
import { readStamp, ROOT } from "./adapter_stamp.ts";

/**
 * Returns when a WebGPU adapter can be opened in this process. Where one has worked before and
 * nothing changed since, this takes about a millisecond; elsewhere `deno task setup --webgpu` runs,
 * which tries the adapter and installs a driver where it may. A process that may not run Deno returns at
 * once: opening the adapter then tells what is missing.
 *
 * Call it before the first use of `navigator.gpu`: Deno looks for drivers only once per process.
 *
 * @throws {UserError} If there is no adapter and none could be installed; the message says what to do.
 */
export async function ensureAdapter(): Promise<void> {
  if (readStamp() !== null) return;
  const command = Deno.execPath();
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return;
  const { success } = await new Deno.Command(command, {
    args: [
      "task",
      "--quiet",
      "--config",
      resolve(ROOT, "deno.json"),
      "setup",
      "--webgpu",
      "--quiet",
    ],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).output();
  if (!success) {
    throw new UserError(
      "No WebGPU adapter can be opened on this machine: follow the line above; " +
        "`deno task doctor` shows what is there",
    );
  }
}
