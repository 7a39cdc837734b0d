/**
 * Mistakes in experiment files and on the command line: each with one clear message, exit status 2, and
 * nothing made.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { assertOneMessage, runCommand } from "./support/command.ts";
import { resultsIn, unfinishedIn } from "./support/store.ts";
import { inFolder, QUANTIZE } from "./support/tiny_model.ts";

/**
 * Mistakes that are found before anything runs: the nodes of a graph, with a `^` in front of the place
 * that the message must name, and the message.
 */
const MISTAKES: readonly (readonly [what: string, graph: string, message: RegExp])[] = [
  [
    "a misspelt key",
    `base: ${QUANTIZE.replace("group_size", "^group_sise")}`,
    /^Unknown key "group_sise" in base\.quantizer.*; did you mean "group_size"\?/,
  ],
  [
    "a wrong type",
    `base: ${QUANTIZE.replace("bits: 4", "bits: ^four")}`,
    /^base\.quantizer\.bits must be 2, 3, 4 or 8: found "four"$/,
  ],
  [
    "an unknown method",
    `base: ${QUANTIZE.replace("rtn", "^rtm")}`,
    /^base\.quantizer\.method must be .*: found "rtm"; did you mean "rtn"\?$/,
  ],
  [
    "an unknown stage",
    `base: ${QUANTIZE.replace("quantize", "^quantise")}`,
    /^Unknown stage "quantise" in base; did you mean "quantize"\?/,
  ],
  [
    "a cycle",
    `adapter: { stage: initialize, from: ^merged, form: lora }
  tuned: { stage: train, from: adapter, data: { text: text.txt }, steps: 3 }
  merged: { stage: merge, from: tuned }`,
    /^The graph has a cycle.*: adapter -> merged -> tuned -> adapter$/,
  ],
  [
    "a missing file",
    `base: ${QUANTIZE.replace("tiny", "^tinny")}`,
    /^There is no file or folder ".*tinny"/,
  ],
  [
    "a pretraining configuration without a needed field",
    `model: { stage: pretrain, data: { text: text.txt }, tokenizer: { vocab_size: 264 }, steps: 1,
    config: ^{ hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2 } }`,
    /^model\.config: .*the field "intermediate_size" is missing$/,
  ],
  [
    "a calibrated quantizer without calibration",
    `base: { stage: quantize, model: tiny, quantizer: { method: ^gptq, group_size: 16 } }`,
    /^base\.quantizer\.method: The quantizer gptq looks at the inputs of layers; add `calibration:/,
  ],
  [
    "a preprocessor without calibration",
    `base: ${QUANTIZE.slice(0, -2)}, preprocess: { method: ^magr } }`,
    /^base\.preprocess\.method: The preprocessor magr looks at the inputs .* add `calibration:/,
  ],
  [
    "a calibrated initializer without calibration",
    `base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, init: ^cloq }`,
    /^adapter\.init: The initializer cloq looks at the inputs of layers; add `calibration:/,
  ],
  [
    "an unknown initializer",
    `base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, init: ^loft }`,
    /^adapter\.init must be "zero", .* or a map: found "loft"; did you mean "loftq"\?$/,
  ],
  [
    "a misspelt option of an initializer",
    `base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, init: { method: loftq, ^iteration: 2 } }`,
    /^Unknown key "iteration" in adapter\.init with method "loftq"; did you mean "iterations"\?/,
  ],
  [
    "a form that its base cannot hold",
    `base: { stage: quantize, model: tiny, quantizer: { method: nf4 } }
  adapter: { stage: initialize, from: base, form: ^qa-blora }`,
    /^adapter\.form: .*quantized with "nf4"; use an integer quantizer such as rtn/,
  ],
  [
    "a second merge",
    `base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4 }
  merged: { stage: merge, from: adapter }
  again: { stage: merge, from: ^merged }`,
    /^again\.from must name a node that makes an adapter: merged makes a model/,
  ],
];

/** The text of an experiment file, and the positions that its graph marks. */
function experimentOf(graph: string): { readonly text: string; readonly positions: string[] } {
  const marked = `name: bad\n\ngraph:\n  ${graph}\n`;
  const positions = marked.split("\n").flatMap((line, index) =>
    line.includes("^") ? [`bad.yaml:${index + 1}:${line.indexOf("^") + 1}: `] : []
  );
  return { text: marked.replaceAll("^", ""), positions };
}

/** Asserts that a line is the expected message at the expected position. */
function assertPlaced(line: string, position: string | undefined, message: RegExp): void {
  assert.equal(line.slice(0, position?.length), position);
  assertOneMessage(line.slice(position?.length), message);
}

Deno.test("a wrong file ends with status 2, one line with the position, and nothing made", async (t) => {
  await inFolder(async (folder) => {
    const file = join(folder, "bad.yaml");
    const run = (...args: string[]) =>
      runCommand("experiment", [...args, "--device", "reference"], { cwd: folder });
    for (const [what, graph, message] of MISTAKES) {
      await t.step(what, async () => {
        const { text, positions } = experimentOf(graph);
        await Deno.writeTextFile(file, text);
        const { status, stdout, stderr } = await run("bad.yaml", "--out", what);
        assertPlaced(stderr, positions[0], message);
        assert.deepEqual([status, stdout], [2, ""]);
        const out = join(folder, what);
        // A missing file is noticed when it is to be digested, for which the store is open.
        if (what !== "a missing file") assert(!existsSync(out));
        else assert.deepEqual([...await unfinishedIn(out), ...await resultsIn(out)], []);
      });
    }
    await t.step("two mistakes are reported at once", async () => {
      const { text, positions } = experimentOf(
        `base: ${QUANTIZE.replace("bits: 4", "bits: ^5")}
  adapter: { stage: initialize, from: base, form: qa-blora, ^ranc: 4 }`,
      );
      await Deno.writeTextFile(file, text);
      const { status, stderr } = await run("bad.yaml");
      const [first = "", second = "", ...rest] = stderr.trimEnd().split("\n");
      assertPlaced(first, positions[0], /^base\.quantizer\.bits must be .*: found 5$/);
      assertPlaced(second, positions[1], /^Unknown key "ranc" in adapter; did you mean "rank"\?/);
      assert.deepEqual([status, rest], [2, []]);
    });
    await t.step("a wrong command line", async () => {
      await Deno.writeTextFile(file, experimentOf(`base: ${QUANTIZE}`).text);
      const missing = await run("nosuch.yaml");
      assertOneMessage(missing.stderr, /^There is no file "nosuch\.yaml"/);
      const misspelt = await run("bad.yaml", "--set", "base.quantizer.bitts=3");
      assertOneMessage(misspelt.stderr, /^--set .*"bitts".*did you mean "bits"\?/);
      assert.deepEqual([missing.status, misspelt.status], [2, 2]);
    });
    assert(!existsSync(join(folder, "runs")));
  });
});
