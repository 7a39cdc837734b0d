// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Log-likelihoods of real sentences against llama.cpp, which reads the same weights from a GGUF file, and
 * against float64.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCpu } from "../kernels/cpu/device.ts";
import type { Device } from "../kernels/device.ts";
import { ReferenceDevice } from "../kernels/reference/device.ts";
import { openWebgpu } from "../kernels/webgpu/adapter.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { scoreTokens } from "../pipeline/evaluation/requests/score_tokens.ts";
import { readTextOrNull } from "../pipeline/formats/files.ts";
import { loadLanguageModel } from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { writeModelGguf } from "./support/model_gguf.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const FOLDER = join(TEST_DATA, "models/tinystories-656k");
const MODULE = fileURLToPath(
  new URL("../.cache/peers/node_modules/node-llama-cpp/dist/index.js", import.meta.url),
);
const missing = NO_TEST_DATA ??
  (readTextOrNull(MODULE) === null
    ? "node-llama-cpp is not installed: deno task bench:peers llama.cpp says how"
    : null);

/** Token ids of the first sentences of some stories; the tokenizer puts BOS before each. */
function sentences(count: number): Uint32Array[] {
  const tokenizer = Tokenizer.open(FOLDER);
  const stories = Deno.readTextFileSync(join(TEST_DATA, "text/tinystories/stories.txt"));
  return stories.split("\n").filter((line) => line.length > 80).slice(0, count)
    .map((line) => tokenizer.encode(line.slice(0, line.indexOf(".") + 1)));
}

async function logProbabilities(
  device: Device,
  rows: readonly Uint32Array[],
): Promise<Float64Array[]> {
  using folder = ModelFolder.open(FOLDER);
  const model = await loadLanguageModel(device, folder);
  const answers: Float64Array[] = [];
  const requests = rows.map((ids) => ({
    context: ids.subarray(0, 1),
    continuation: ids.subarray(1),
  }));
  for await (const { index, value } of scoreTokens(model, requests)) {
    answers[index] = value.logProbabilities;
  }
  device.close();
  return answers;
}

async function byLlamaCpp(rows: readonly Uint32Array[]): Promise<number[][]> {
  const folder = await Deno.makeTempDir();
  try {
    const model = join(folder, "model.gguf");
    await writeModelGguf(model, FOLDER);
    const oracle = fileURLToPath(new URL("./oracles/llama_cpp.ts", import.meta.url));
    const config = ["--quiet", "--no-prompt", "--no-config", "--node-modules-dir=manual"];
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", ...config, "--allow-all", oracle, MODULE, model],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(JSON.stringify(rows.map((ids) => [...ids]))));
    await writer.close();
    const { success, stdout, stderr } = await process.output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function largestDeviation(
  found: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
): number {
  return Math.max(...expected.map((row, index) => {
    assert.equal(found[index]!.length, row.length);
    return Math.max(...Array.from(row, (value, place) => Math.abs(found[index]![place]! - value)));
  }));
}

testUnless(
  missing,
  "tinystories-656k: log-likelihoods of 50 sentences are llama.cpp's within 1e-4 per token",
  async () => {
    const rows = sentences(50);
    assert.equal(rows.length, 50);
    const expected = await byLlamaCpp(rows);
    for (const device of [await openCpu(), await openWebgpu()]) {
      const { name } = device.info;
      const deviation = largestDeviation(await logProbabilities(device, rows), expected);
      assert.ok(deviation < 1e-4, `${name}: a token is off by ${deviation}`);
      assert.ok(deviation > 0, "another program never has the same bits");
    }
  },
);

testUnless(NO_TEST_DATA, "tinystories-656k: log-likelihoods are those of float64", async () => {
  const rows = sentences(12);
  const expected = await logProbabilities(new ReferenceDevice(), rows);
  for (const device of [await openCpu(), await openWebgpu()]) {
    const { name } = device.info;
    const deviation = largestDeviation(await logProbabilities(device, rows), expected);
    assert.ok(deviation < 1e-4, `${name}: a token is off by ${deviation}`);
  }
});
