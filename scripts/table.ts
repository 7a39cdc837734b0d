/**
 * `deno task table`: the table of a finished run.
 *
 * @module
 */

import { Option } from "commander";
import { fromCaller } from "../pipeline/caller.ts";
import { EXIT_DONE, EXIT_FAILED, makeCommand, outOption, runCommand } from "./shared/command.ts";
import { TABLE_FORMATS, type TableFormat } from "../pipeline/reports/table_formats.ts";

const command = makeCommand("table", "Prints the table of a run from its results.json.")
  .argument("<file>", "experiment file, or folder of a run")
  .addOption(new Option("--format <name>", "instead of aligned text").choices(TABLE_FORMATS))
  .option("--check <file>", "compare with this file; exit status 1 if it differs")
  .addOption(outOption());

await runCommand(command, async () => {
  const { tableOf } = await import("../pipeline/run_table.ts");
  const { differenceFrom, formatTable, toTerminal } = await import(
    "../pipeline/reports/table_formats.ts"
  );
  const flags = command.opts<{ format?: TableFormat; check?: string; out: string }>();
  const table = await tableOf(command.args[0] ?? "", flags.out);
  if (flags.check !== undefined) {
    const extension = TABLE_FORMATS.find((format) => flags.check?.endsWith(`.${format}`));
    const text = formatTable(table, flags.format ?? extension ?? "md");
    const difference = differenceFrom(text, fromCaller(flags.check));
    if (difference === null) return EXIT_DONE;
    console.error(difference);
    return EXIT_FAILED;
  }
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  const text = flags.format ? formatTable(table, flags.format) : toTerminal(table, color);
  console.log(text.trimEnd());
  return EXIT_DONE;
});
