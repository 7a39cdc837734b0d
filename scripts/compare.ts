/**
 * `deno task compare`: two models of a run on the same items.
 *
 * @module
 */

import { Option } from "commander";
import { TABLE_FORMATS, type TableFormat } from "../pipeline/reports/table_formats.ts";
import { EXIT_DONE, makeCommand, outOption, runCommand } from "./shared/command.ts";

const command = makeCommand(
  "compare",
  "Compares two evaluated models of a run item by item: difference, flips and p.",
)
  .argument("<run>", "folder of a run, or its name")
  .argument("<a>", "the model to compare with, as NODE or CELL/NODE")
  .argument("<b>", "the model to compare, as NODE or CELL/NODE")
  .addOption(new Option("--format <name>", "instead of aligned text").choices(TABLE_FORMATS))
  .addOption(outOption());

await runCommand(command, async () => {
  const { compareInRun } = await import("../pipeline/run_comparison.ts");
  const { comparisonTable } = await import("../pipeline/reports/comparison.ts");
  const { formatTable, toTerminal } = await import("../pipeline/reports/table_formats.ts");
  const { format, out } = command.opts<{ format?: TableFormat; out: string }>();
  const [run = "", first = "", second = ""] = command.args;
  const table = comparisonTable(await compareInRun(run, [first, second], out));
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  console.log((format ? formatTable(table, format) : toTerminal(table, color)).trimEnd());
  return EXIT_DONE;
});
