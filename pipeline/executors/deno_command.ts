/**
 * How this process starts another Deno.
 *
 * @module
 */

/**
 * The program to start: this very executable where that is permitted, else `deno` from the `PATH`
 * (which may be a wrapper, as with npx).
 */
export function denoCommand(): string {
  const command = Deno.execPath();
  const { state } = Deno.permissions.querySync({ name: "run", command });
  return state === "granted" ? command : "deno";
}
