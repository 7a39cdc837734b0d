/**
 * Python as an oracle of single functions.
 *
 * @module
 */

import assert from "node:assert/strict";

/** What a script prints that reads `input` as JSON from its standard input. */
export async function askPython(
  python: string | null,
  script: string,
  input: unknown,
): Promise<string> {
  const child = new Deno.Command(python ?? "", {
    args: ["-c", script],
    env: { PYTHONUTF8: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(input)));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
