/**
 * What the commands share: their common options, exit statuses and how errors are shown.
 *
 * @module
 */

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { fromCaller } from "../../pipeline/caller.ts";
import { DEVICE_NAMES, type DeviceName } from "../../pipeline/executors/devices.ts";

/** All cells are done. */
export const EXIT_DONE = 0;
/** Something failed while it ran. */
export const EXIT_FAILED = 1;
/** The file or the command line is wrong; nothing ran. */
const EXIT_USAGE = 2;
/** Ended by Ctrl-C, as shells count it. */
export const EXIT_INTERRUPTED = 130;

/** Options of commands that read an experiment. */
export interface ExperimentFlags {
  /** Each `path=value`. */
  readonly set: readonly string[];
  /** Where stages compute. */
  readonly device: DeviceName;
  /** Folder of results. */
  readonly out: string;
  /** Whether the standard output is one JSON document. */
  readonly json: boolean;
}

/** A command that fails with an exception instead of ending the process. */
export function makeCommand(name: string, description: string): Command {
  return new Command(`deno task ${name}`)
    .description(description)
    .helpOption("-h, --help", "show this text")
    .showHelpAfterError("(--help lists the options)")
    .exitOverride();
}

/** Adds the options of {@linkcode ExperimentFlags}. */
export function addExperimentFlags(command: Command): Command {
  const collect = (value: string, all: readonly string[]) => [...all, assignment(value)];
  return command
    .option("--set <path=value>", "change a value of the file; may be repeated", collect, [])
    .addOption(
      new Option("--device <name>", "where stages compute").choices(DEVICE_NAMES).default("auto"),
    )
    .addOption(outOption())
    .option("--json", "print one JSON document on the standard output", false);
}

/** The option of every command that reads or writes results. */
export function outOption(): Option {
  return new Option("--out <folder>", "folder of results and of the store")
    .argParser(fromCaller).default("runs");
}

/** A whole number of at least 1. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError(`It must be a whole number of at least 1, found "${text}".`);
}

/**
 * Runs a command to its exit status. Mistakes of people are shown as they are; defects of the program
 * with their stack trace.
 */
export async function runCommand(
  command: Command,
  action: (command: Command) => Promise<number>,
): Promise<never> {
  Deno.exit(await statusOf(command, action));
}

async function statusOf(
  command: Command,
  action: (command: Command) => Promise<number>,
): Promise<number> {
  try {
    command.parse([...Deno.args], { from: "user" });
    return await action(command);
  } catch (error) {
    // Commander has printed its message or the help text.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_DONE : EXIT_USAGE;
    // Loaded only now: a help text should not wait for them.
    const { ConfigurationError } = await import("../../pipeline/graph/experiment.ts");
    const { isExpected } = await import("../../pipeline/graph/expected_error.ts");
    const { isDiskFull } = await import("../../pipeline/graph/store_files.ts");
    if (isExpected(error)) console.error((error as Error).message);
    else if (isDiskFull(error)) {
      console.error(
        `The disk is full: ${(error as Error).message}; free some space there, or set --out to ` +
          `another disk`,
      );
    } else console.error(error);
    return error instanceof ConfigurationError ? EXIT_USAGE : EXIT_FAILED;
  }
}

function assignment(text: string): string {
  if (/^[^=]+=/.test(text)) return text;
  throw new InvalidArgumentError(`It must be path=value, found "${text}".`);
}
