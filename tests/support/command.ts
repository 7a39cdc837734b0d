/**
 * Running the commands of this repository as people do: in processes of their own.
 *
 * @module
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

/** A command that reads an experiment. */
export type CommandName = "experiment" | "plan";

/** How a command ended. */
export interface CommandEnd {
  /** Exit status. */
  readonly status: number;
  /** Table or JSON document. */
  readonly stdout: string;
  /** Messages and progress. */
  readonly stderr: string;
}

/** Where and how to run. */
export interface CommandOptions {
  /** Working folder. */
  readonly cwd: string;
  /** Set on top of this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Script of `sh` that runs the command as `"$@"`, to set limits first.
   *
   * @default exec "$@"
   */
  readonly shell?: string;
  /**
   * Programs that the command may start.
   *
   * @default those that `deno.json` names
   */
  readonly programs?: readonly string[];
}

/** Starts `deno task NAME ARGUMENTS`: what the task runs, with its permissions. */
export function startCommand(
  name: CommandName,
  args: readonly string[],
  { cwd, env = {}, shell = 'exec "$@"', programs }: CommandOptions,
): Deno.ChildProcess {
  const deno = Deno.execPath();
  const script = fileURLToPath(new URL(`../../scripts/${name}.ts`, import.meta.url));
  const run = (programs ?? ["deno", "git", deno]).join(",");
  const allowed = ["read", "write", "env", "sys", "net", `run=${run}`].map((name) =>
    `--allow-${name}`
  );
  return new Deno.Command("sh", {
    args: ["-c", shell, "sh", deno, "run", "--quiet", "--no-prompt", ...allowed, script, ...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Waits for the end of a process. */
export async function endOf(process: Deno.ChildProcess): Promise<CommandEnd> {
  const { code, stdout, stderr } = await process.output();
  const decoder = new TextDecoder();
  return { status: code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a command to its end. */
export function runCommand(
  name: CommandName,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandEnd> {
  return endOf(startCommand(name, args, options));
}

/** Asserts that a text is messages for people: no stack trace, no name of an error class. */
export function assertForPeople(text: string): void {
  assert.doesNotMatch(text, /^\s+at .+:\d+/m, "a stack trace");
  assert.doesNotMatch(text, /\bUncaught\b|\b[A-Z][a-z]+Error\b/, "the name of an error class");
}

/** Asserts that a text is one such message. */
export function assertOneMessage(text: string, pattern: RegExp): void {
  assertForPeople(text);
  assert.equal(text.trimEnd().split("\n").length, 1, `one line, found:\n${text}`);
  assert.match(text.trimEnd(), pattern);
}
