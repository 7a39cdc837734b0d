/**
 * Which code this is: the version in `deno.json` and, in a clone, the git commit.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import configuration from "../../deno.json" with { type: "json" };
import type { CodeVersion } from "./manifest.ts";

/** The version of the code that runs; without git (or the permission to run it) no commit. */
export async function codeVersion(): Promise<CodeVersion> {
  const [commit, changes] = await Promise.all([
    git("rev-parse", "HEAD"),
    git("status", "--porcelain", "--untracked-files=no"),
  ]);
  const { version } = configuration;
  if (commit === null) return { version, commit: null };
  return { version, commit: changes === "" ? commit : `${commit}-dirty` };
}

async function git(...args: string[]): Promise<string | null> {
  const repository = fileURLToPath(new URL("../../", import.meta.url));
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", repository, ...args],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  } catch {
    return null;
  }
}
