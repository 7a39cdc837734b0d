/**
 * Protocols of perplexity on a real trained model, against a float64 forward pass in PyTorch.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { openCpu } from "../kernels/cpu/device.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { findPython } from "../pipeline/environment/oracles.ts";
import { perplexity } from "../pipeline/evaluation/perplexity_task.ts";
import { pageSize, splitPages } from "../pipeline/evaluation/protocols/wikitext.ts";
import { detokenize } from "../pipeline/evaluation/tasks/functions/wikitext.ts";
import type { Metric } from "../pipeline/graph/stage.ts";
import { loadLanguageModel } from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const MODEL = join(TEST_DATA, "models/tinystories-656k");
const WIKITEXT = join(TEST_DATA, "text/wikitext-2-raw/wiki.test.raw");
const SCRIPT = new URL("oracles/lora_training.py", import.meta.url);

const python = await findPython(["torch", "numpy"]);
const missing = NO_TEST_DATA ?? (python === null ? "no Python with PyTorch" : null);

/** Measures with the CPU device, in batches of `batchSize`. */
async function measure(
  parameters: object,
  batchSize: number,
): Promise<Readonly<Record<string, Metric>>> {
  using folder = ModelFolder.open(MODEL);
  const device = await openCpu();
  try {
    return await perplexity.run(
      {
        model: await loadLanguageModel(device, folder),
        tokenizer: Tokenizer.open(MODEL),
        batchSize,
        resolve: (reference) => Promise.resolve([reference]),
        report: () => {},
        seed: 1,
        endTokens: [],
        checkpoint: "",
        log: () => {},
        record: () => {},
      },
      perplexity.parameters.parse({ task: "perplexity", ...parameters }) as Parameters<
        typeof perplexity.run
      >[1],
    );
  } finally {
    device.close();
  }
}

/** Mean loss and count of the tokens of consecutive windows, a window's first not scored. */
async function oracle(
  tokens: readonly number[],
  window: number,
): Promise<{ mean_loss: number; tokens: number }> {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(file, JSON.stringify(tokens));
    const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
      args: [SCRIPT.pathname, MODEL, "perplexity", "--tokens", file, "--window", String(window)],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(file);
  }
}

/** Runs a test on a file with the beginning of WikiText-2's test split. */
async function withText(characters: number, test: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".raw" });
  try {
    const text = await Deno.readTextFile(WIKITEXT);
    await Deno.writeTextFile(path, text.slice(0, characters));
    await test(path);
  } finally {
    await Deno.remove(path);
  }
}

function close(found: number | undefined, wanted: number): void {
  assert(Math.abs((found ?? NaN) / wanted - 1) < 1e-4, `${found}, PyTorch found ${wanted}`);
}

testUnless(
  missing,
  "gptq: the perplexity of windows of 512 is that of PyTorch",
  () =>
    withText(4000, async (path) => {
      const data = { rows: path };
      const metrics = await measure({ protocol: "gptq", window: 512, data }, 2);
      const rows = (await Deno.readTextFile(path)).split(/(?<=\n)/)
        .map((line) => line.trim() === "" ? "" : line);
      const tokens = [...Tokenizer.open(MODEL).encode(rows.join("\n\n"))];
      const windows = Math.floor(tokens.length / 512);
      const expected = await oracle(tokens.slice(0, 512 * windows), 512);
      close(metrics.perplexity?.value, Math.exp(expected.mean_loss));
      assert(windows >= 3);
      assert.equal(metrics.perplexity?.protocol, "gptq-512");
      assert.equal(metrics.perplexity_windows?.value, windows);
      assert.equal(metrics.perplexity_tokens?.value, 511 * windows);
      // Results do not depend on the batch.
      assert.deepEqual(await measure({ protocol: "gptq", window: 512, data }, 1), metrics);
    }),
);

testUnless(
  missing,
  "lm_eval: word perplexity of a page in rolling windows is that of PyTorch",
  () =>
    withText(800, async (path) => {
      const [page = ""] = splitPages(await Deno.readTextFile(path));
      const tokenizer = Tokenizer.open(MODEL);
      const ids = [tokenizer.bosId ?? NaN, ...tokenizer.encode(detokenize(page))];
      const { words, bytes } = pageSize(page);
      const { mean_loss, tokens } = await oracle(ids, ids.length);
      assert(ids.length < 512);
      const whole = await measure({ protocol: "lm_eval", data: { rows: path } }, 1);
      assert.equal(whole.word_perplexity?.protocol, "lm_eval-512");
      assert.equal(whole.perplexity_tokens?.value, tokens);
      close(whole.word_perplexity?.value, Math.exp(mean_loss * tokens / words));
      close(whole.bits_per_byte?.value, mean_loss * tokens / bytes / Math.LN2);
      // In windows of 256: as many targets after one token, the rest in full context.
      const rolled = await measure({ protocol: "lm_eval", window: 256, data: { rows: path } }, 3);
      let sum = 0;
      for (let end = 256; end < ids.length; end += 256) {
        const window = await oracle(ids.slice(end - 256, end + 1), 257);
        sum += window.mean_loss * window.tokens;
      }
      const rest = (ids.length - 1) % 256;
      const last = ids.slice(-257);
      const [all, before] = [await oracle(last, 257), await oracle(last.slice(0, 257 - rest), 257)];
      sum += all.mean_loss * all.tokens - before.mean_loss * before.tokens;
      close(rolled.word_perplexity?.value, Math.exp(sum / words));
      assert.equal(rolled.perplexity_windows?.value, Math.ceil((ids.length - 1) / 256));
    }),
);

testUnless(
  NO_TEST_DATA,
  "run_clm: blocks of 64 of single rows",
  () =>
    withText(4000, async (path) => {
      const metrics = await measure({ protocol: "run_clm", window: 64, data: { rows: path } }, 4);
      assert.equal(metrics.perplexity?.protocol, "run_clm-64");
      assert(
        (metrics.perplexity?.value ?? 0) > 1 && metrics.perplexity?.standardError !== undefined,
      );
      assert.equal(metrics.perplexity_tokens?.value, 63 * (metrics.perplexity_windows?.value ?? 0));
    }),
);

Deno.test("what belongs to other protocols is refused by name", () => {
  const messages = (parameters: object) =>
    perplexity.parameters.safeParse({ task: "perplexity", ...parameters }).error?.issues
      .map(({ path, message }) => `${path}: ${message}`) ?? [];
  const [rows, text] = [{ rows: "wiki.raw" }, { text: "wiki.raw" }];
  assert.deepEqual(messages({ protocol: "gptq", data: rows, selection: "c4" }), []);
  assert.deepEqual(messages({ protocol: "lm_eval", data: rows, add_bos_token: false }), []);
  assert.deepEqual(messages({ data: text, stride: 4 }), []);
  assert.deepEqual(messages({ protocol: "gptq", data: text }), [
    "data: the protocol gptq reads `rows: path/to/file`",
  ]);
  assert.deepEqual(messages({ data: rows }), [
    "data: the protocol window reads `text: path/to/file`",
  ]);
  assert.deepEqual(messages({ protocol: "run_clm", data: rows, selection: "c4", stride: 2 }), [
    "stride: stride belongs to the protocol window",
    "selection: selection belongs to the protocol gptq",
  ]);
  assert.deepEqual(messages({ protocol: "gptq", data: rows, add_bos_token: true }), [
    "add_bos_token: add_bos_token belongs to the protocol lm_eval",
  ]);
});
