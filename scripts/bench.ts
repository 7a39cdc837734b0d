/**
 * `deno task bench`: how fast this machine computes.
 *
 * @module
 */

import { Option } from "commander";
import { fromCaller } from "../pipeline/caller.ts";
import { DEVICE_NAMES, type DeviceName } from "../pipeline/executors/devices.ts";
import { EXIT_DONE, makeCommand, runCommand } from "./shared/command.ts";

const command = makeCommand(
  "bench",
  "Measures kernels and whole models, and the ceilings of the device in the same run.",
)
  .option("--filter <text>", "only benchmarks with this text in name or shape", "")
  .option("--json <file>", "also write everything measured to this file")
  .addOption(
    new Option("--device <name>", "what to measure").choices(DEVICE_NAMES).default("auto"),
  );

await runCommand(command, async () => {
  const [{ openDevice }, { runBenchmarks, selectBenchmarks }, { benchmarkText }] = await Promise
    .all([
      import("../pipeline/executors/devices.ts"),
      import("../pipeline/bench/report.ts"),
      import("../pipeline/bench/report_text.ts"),
    ]);
  const flags = command.opts<{ filter: string; json?: string; device: DeviceName }>();
  selectBenchmarks(flags.filter);
  const device = await openDevice(flags.device);
  const terminal = Deno.stderr.isTerminal();
  const show = (text: string) => writeError(terminal ? `\r\x1b[K${text}` : `${text}\n`);
  const report = await runBenchmarks(device, {
    filter: flags.filter,
    onStart: (name, done, total) => show(`${done + 1}/${total} ${name}`),
  });
  if (terminal) show("");
  device.close();
  console.log(benchmarkText(report).trimEnd());
  if (flags.json !== undefined) {
    await Deno.writeTextFile(fromCaller(flags.json), JSON.stringify(report, null, 2) + "\n");
  }
  return EXIT_DONE;
});

function writeError(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
