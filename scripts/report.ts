/**
 * `deno task report`: a run as one HTML page.
 *
 * @module
 */

import { relative } from "node:path";
import { EXIT_DONE, makeCommand, outOption, runCommand } from "./shared/command.ts";

const command = makeCommand("report", "Writes a run as one HTML page into its folder.")
  .argument("<run>", "folder of a run, or its name")
  .addOption(outOption());

await runCommand(command, async () => {
  const { writeReport } = await import("../pipeline/run_report.ts");
  const { out } = command.opts<{ out: string }>();
  const path = await writeReport(command.args[0] ?? "", out);
  const shown = relative(".", path);
  console.log(shown.startsWith("..") ? path : shown);
  return EXIT_DONE;
});
