/**
 * `deno task bench`: how fast this machine computes.
 *
 * @module
 */

import { Option } from "commander";
import { fromCaller } from "../pipeline/caller.ts";
import { DEVICE_NAMES, type DeviceName } from "../pipeline/executors/devices.ts";
import { EXIT_DONE, makeCommand, positiveInteger, runCommand } from "./shared/command.ts";
import { runWithWideVectors } from "./shared/wide_vectors.ts";

const command = makeCommand(
  "bench",
  "Measures kernels and whole models, and the ceilings of the device in the same run.",
)
  .option("--filter <words>", "only benchmarks with all these words in suite, name or shape", "")
  .option("--full", "also what takes long: large layers and models, scaling curves", false)
  .option("--json <file>", "also write everything measured to this file")
  .option("--plot <file>", "also draw times over sizes as SVG, both logarithmic, to this file")
  .addOption(
    new Option("--device <name>", "what to measure").choices(DEVICE_NAMES).default("auto"),
  )
  .option("--threads <n>", "threads of the CPU device (default: all processors)", positiveInteger)
  .option(
    "--tune",
    "measure the alternatives of WebGPU kernels, and use the best from now on",
    false,
  );

interface Flags {
  readonly filter: string;
  readonly full: boolean;
  readonly json?: string;
  readonly plot?: string;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly tune: boolean;
}

/** Of `deno task bench`. */
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env", "--allow-sys", "--allow-run"];

await runCommand(command, async () => {
  const flags = command.opts<Flags>();
  if (flags.tune) {
    const { tuneDevice } = await import("../pipeline/bench/tune.ts");
    await tuneDevice(flags.device, (line) => console.log(line));
    return EXIT_DONE;
  }
  const status = await runWithWideVectors(flags.device, PERMISSIONS);
  if (status !== null) return status;
  const [
    { threadsPerJob },
    { openDevice },
    { runBenchmarks, selectBenchmarks },
    { benchmarkText },
  ] = await Promise
    .all([
      import("../pipeline/environment/cpu_settings.ts"),
      import("../pipeline/executors/devices.ts"),
      import("../pipeline/bench/report.ts"),
      import("../pipeline/bench/report_text.ts"),
    ]);
  selectBenchmarks(flags.filter, flags.full);
  const threads = threadsPerJob(1, flags.threads);
  const device = await openDevice(flags.device, { threads });
  const terminal = Deno.stderr.isTerminal();
  const show = (text: string) => writeError(terminal ? `\r\x1b[K${text}` : `${text}\n`);
  const report = await runBenchmarks(device, {
    filter: flags.filter,
    full: flags.full,
    threads,
    onPlan: (total, seconds) =>
      writeError(
        `${total} benchmarks, ${duration(seconds)} if they reach a third of the ceilings\n`,
      ),
    onStart: (name, done, total) => show(`${done + 1}/${total} ${name}`),
  });
  if (terminal) show("");
  device.close();
  console.log(benchmarkText(report).trimEnd());
  if (flags.json !== undefined) {
    await Deno.writeTextFile(fromCaller(flags.json), JSON.stringify(report, null, 2) + "\n");
  }
  if (flags.plot !== undefined) {
    const { plotTimes } = await import("../pipeline/bench/plot_times.ts");
    await Deno.writeTextFile(fromCaller(flags.plot), await plotTimes(report) + "\n");
  }
  return EXIT_DONE;
});

function duration(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function writeError(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
