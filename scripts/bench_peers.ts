/**
 * `deno task bench:peers`: how fast this machine computes with us and with others.
 *
 * @module
 */

import { Argument, Option } from "commander";
import { fromCaller } from "../pipeline/caller.ts";
import { DEVICE_NAMES } from "../pipeline/executors/devices.ts";
import { ConfigurationError } from "../pipeline/graph/experiment.ts";
import { COMPARISON_EFFORT } from "./peers/compare.ts";
import { comparisons, type SetName, SETS } from "./peers/comparisons.ts";
import { lastProcessors } from "./peers/processors.ts";
import { runComparisons } from "./peers/run.ts";
import { peersText } from "./peers/text.ts";
import { EXIT_DONE, makeCommand, positiveInteger, runCommand } from "./shared/command.ts";

interface Flags {
  readonly device: string;
  readonly threads: number;
  readonly rounds: number;
  readonly filter: string;
  readonly json?: string;
}

const command = makeCommand(
  "bench:peers",
  "Compares speeds with those of other programs, in turn on the same processors.",
)
  .addArgument(new Argument("[set]", "what to compare").choices(SETS).default("acceptance"))
  .option("--filter <text>", "only comparisons with this text in their titles", "")
  .option("--threads <n>", "processors and threads of every program", positiveInteger, 1)
  .option("--rounds <n>", "rounds of A-B-B-A", positiveInteger, COMPARISON_EFFORT.rounds)
  .addOption(
    new Option("--device <name>", "what we compute on").choices(DEVICE_NAMES).default("cpu"),
  )
  .option("--json <file>", "also write everything measured to this file");

await runCommand(command, async () => {
  const { device, threads, rounds, filter, json } = command.opts<Flags>();
  const set = command.processedArgs[0] as SetName;
  const all = comparisons(set, Deno.env.get("EQUIPOISE_TEST_DATA"));
  const plans = all.filter(({ title }) => title.toLowerCase().includes(filter.toLowerCase()));
  if (plans.length === 0) {
    const titles = all.map(({ title }) => title).join("; ");
    const message = `No comparison of ${set} has "${filter}" in its title; there are: ${titles}`;
    throw new ConfigurationError([{ position: null, message }]);
  }
  const report = await runComparisons(plans, {
    device,
    threads,
    processors: set === "gpu" ? null : await lastProcessors(threads),
    effort: { ...COMPARISON_EFFORT, rounds },
    onStart: (title, done, total) => console.error(`${done + 1}/${total} ${title}`),
  });
  console.log(peersText(report).trimEnd());
  if (json !== undefined) {
    await Deno.writeTextFile(fromCaller(json), JSON.stringify(report, null, 2) + "\n");
  }
  return EXIT_DONE;
});
