/**
 * `deno task plan`: what a run would do, and why.
 *
 * @module
 */

import {
  addExperimentFlags,
  EXIT_DONE,
  type ExperimentFlags,
  makeCommand,
  positiveInteger,
  runCommand,
} from "./shared/command.ts";

interface PlanFlags extends ExperimentFlags {
  /** How many examples to show; true for the default number. */
  readonly showExamples?: number | true;
}

const command = addExperimentFlags(
  makeCommand(
    "plan",
    "Lists every stage of every cell: cached or run, the reason, and the memory it will take. " +
      "Runs nothing.",
  )
    .argument("<file>", "YAML file, in this folder or in experiments/")
    .option(
      "--show-examples [number]",
      "show the first rows that training will see, and which of their tokens are learned; by " +
        "default 3",
      positiveInteger,
    ),
);

await runCommand(command, async () => {
  const { planExperiment } = await import("../pipeline/experiment.ts");
  const { ConfigurationError } = await import("../pipeline/graph/experiment.ts");
  const { DownloadDisplay } = await import("../pipeline/reports/download_display.ts");
  const { memoryText } = await import("../pipeline/reports/memory_text.ts");
  const { planRecords, planText } = await import("../pipeline/reports/plan_text.ts");
  const { examplesText } = await import("../pipeline/reports/examples_text.ts");
  const { planExamples } = await import("../pipeline/plan_examples.ts");
  const { showExamples, ...flags } = command.opts<PlanFlags>();
  const downloads = new DownloadDisplay();
  const options = { ...flags, hub: downloads.options };
  const plan = await planExperiment(command.args[0] ?? "", options)
    .finally(() => downloads.close());
  const examples = showExamples === undefined
    ? null
    : await planExamples(plan, { ...options, count: showExamples === true ? 3 : showExamples })
      .finally(() => downloads.close());
  const { experiment: { name }, device } = plan;
  console.log(
    flags.json
      ? JSON.stringify(
        { name, device, stages: planRecords(plan), ...(examples && { examples }) },
        null,
        2,
      )
      : [
        planText(plan),
        memoryText(plan),
        ...(examples === null
          ? []
          : [examplesText(examples, { color: Deno.stdout.isTerminal() && !Deno.noColor })]),
      ].join("\n").trimEnd(),
  );
  if (plan.shortages.length > 0) throw new ConfigurationError(plan.shortages);
  return EXIT_DONE;
});
