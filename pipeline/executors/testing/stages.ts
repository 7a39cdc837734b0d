/**
 * Stages for tests of the engine: they write small files and misbehave on request.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import type { Stage, StageContext } from "../../graph/stage.ts";
import { UserError } from "../../errors.ts";

const CHECKPOINT = "steps.txt";

/** What `make` may be told to do instead of its work. */
const FAULTS = ["none", "mistake", "defect", "crash", "disk full"] as const;

const makeParameters = z.strictObject({
  text: z.string().default("text"),
  source: z.string().optional(),
  fault: z.enum(FAULTS).default("none"),
});

/** Writes `text` and the content of `source` into a file. */
const make: Stage<z.infer<typeof makeParameters>> = {
  name: "make",
  version: 1,
  summary: "writes a file",
  parameters: makeParameters,
  accepts: [],
  produces: "files",
  dependsOn: () => ({ seed: false, device: false }),
  sources: ({ source }) => source === undefined ? [] : [{ reference: source, path: "source" }],
  async run(context) {
    const { text, source, fault } = context.parameters;
    await Deno.writeTextFile(join(context.folder, "begun.txt"), text);
    if (fault === "mistake") throw new UserError("The text is wrong: change it");
    if (fault === "defect") throw new TypeError("Undefined is not a function");
    if (fault === "crash") {
      console.error("driver: segmentation fault");
      Deno.exit(139);
    }
    if (fault === "disk full") {
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    }
    const paths = source === undefined
      ? []
      : await context.resolve({ reference: source, path: "source" });
    const contents = await Promise.all(paths.map((path) => Deno.readTextFile(path)));
    await Deno.mkdir(join(context.folder, "below"));
    await Deno.writeTextFile(join(context.folder, "below", "made.txt"), text + contents.join(""));
    await Deno.remove(join(context.folder, "begun.txt"));
    context.log(`made ${text}`);
    return { metrics: { length: { value: text.length } }, facts: { files: 1 + paths.length } };
  },
};

const growParameters = z.strictObject({
  steps: z.int().default(2),
  /** A file that is waited for before step `steps`, so that tests can interrupt there. */
  gate: z.string().optional(),
});

/** Counts steps, with a checkpoint after each; depends on the seed. */
const grow: Stage<z.infer<typeof growParameters>> = {
  name: "grow",
  version: 1,
  summary: "counts steps",
  parameters: growParameters,
  accepts: ["files"],
  produces: "files",
  dependsOn: () => ({ seed: true, device: false }),
  sources: () => [],
  async run(context) {
    const { steps, gate } = context.parameters;
    const checkpoint = join(context.checkpoint, CHECKPOINT);
    const resumed = Number(await Deno.readTextFile(checkpoint).catch(() => "0"));
    for (let step = resumed + 1; step <= steps; step++) {
      if (step === steps && gate !== undefined) await gateOpened(gate, context);
      await Deno.writeTextFile(checkpoint, String(step));
      context.report({ activity: "growing", done: step, total: steps, values: { loss: 1 / step } });
    }
    await Deno.writeTextFile(join(context.folder, "grown.txt"), `${context.seed}`);
    return { metrics: { steps: { value: steps } }, facts: { resumed } };
  },
};

const measureParameters = z.strictObject({ offset: z.number().default(0) });

/** Measures the size of what it reads, once for each entry of `from`. */
const measure: Stage<z.infer<typeof measureParameters>> = {
  name: "measure",
  version: 1,
  summary: "measures a folder",
  parameters: measureParameters,
  accepts: ["files"],
  fansOut: true,
  produces: "metrics",
  dependsOn: () => ({ seed: false, device: false }),
  sources: () => [],
  async run(context) {
    const manifest = await Deno.readTextFile(join(context.input?.folder ?? "", "artifact.json"));
    const size = JSON.parse(manifest).files.length + context.parameters.offset;
    const standardError = size / 10;
    return { metrics: { perplexity: { value: size, standardError, protocol: "files" } } };
  },
};

/** Waits until a test makes the file, or until the run is interrupted. */
async function gateOpened(path: string, { signal, report }: StageContext<unknown>): Promise<void> {
  report({ activity: "waiting at the gate" });
  while (await Deno.stat(path).catch(() => null) === null) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** All of them. */
export const stages: readonly Stage[] = [make as Stage, grow as Stage, measure as Stage];
