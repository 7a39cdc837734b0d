import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import { drawWindows } from "../calibration/windows.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { apiqBw } from "./apiq_bw.ts";
import { apiqLw } from "./apiq_lw.ts";
import type { InitializedModel } from "./model_initializer.ts";
import { rilq } from "./rilq.ts";
import { rounded, type TestRun, withRun, withWeights } from "./testing/models.ts";
import { meanSquare, outputs } from "./testing/whole_model.ts";

const MODEL = new URL("../../experiments/models/brown-525k", import.meta.url).pathname;
const [SAMPLES, LENGTH] = [20, 64];

/** Windows of a document of this project in the tokens of the embedded model. */
async function windowsOf(document: string, vocabulary: number): Promise<Uint32Array> {
  const text = await Deno.readTextFile(new URL(`../../docs/${document}`, import.meta.url));
  const stream = Tokenizer.open(MODEL, vocabulary).encode(text);
  return drawWindows(stream, { samples: SAMPLES, length: LENGTH }, 1);
}

/** Calls `test` with the embedded model in INT2, real text, and the default device. */
async function withEmbeddedModel(test: (run: TestRun) => Promise<void>): Promise<void> {
  using original = ModelFolder.open(MODEL);
  const windows = await windowsOf("architecture.md", original.config.vocabSize);
  const device = await openCpu({ threads: 1 });
  const size = { samples: SAMPLES, length: LENGTH };
  try {
    const base = await rounded(original, 2, 32);
    await withRun({ device, original, base, windows, ...size, rank: 4, alpha: 4 }, test);
  } finally {
    device.close();
  }
}

/** How much of the quantized model's error is left in another text's final hidden states. */
async function errorElsewhere(run: TestRun, { modules }: InitializedModel): Promise<number> {
  const windows = await windowsOf("footguns.md", run.original.config.vocabSize);
  const elsewhere = { ...run, windows };
  const full = await outputs(elsewhere, run.original);
  const base = await outputs(elsewhere, run.base);
  const own = await outputs(elsewhere, withWeights(run.base, run.replaced), modules);
  return meanSquare(own.final, full.final) / meanSquare(base.final, full.final);
}

Deno.test("ApiQ-bw lowers its objective on text that it did not see, on the embedded model", () =>
  withEmbeddedModel(async (run) => {
    const parameters = apiqBw.parameters.parse({ method: "apiq-bw", epochs: 4, validation: 0.2 });
    const result = await apiqBw.initializeModel(run, parameters);
    const { held_out_error: after = NaN, held_out_error_before: before = NaN } = result.facts;
    assert(after < 0.9 * before, JSON.stringify(result.facts));
    const left = await errorElsewhere(run, result);
    assert(left < 0.9, `${left}`);
  }));

Deno.test("ApiQ-lw lowers its objective on text that it did not see, on the embedded model", () =>
  withEmbeddedModel(async (run) => {
    const parameters = apiqLw.parameters.parse({ method: "apiq-lw", epochs: 4, validation: 0.2 });
    const result = await apiqLw.initializeModel(run, parameters);
    const { held_out_error: after = NaN, held_out_error_before: before = NaN } = result.facts;
    assert(after < 0.95 * before, JSON.stringify(result.facts));
    const left = await errorElsewhere(run, result);
    assert(left < 0.9, `${left}`);
  }));

Deno.test("RILQ lowers its objective on text that it did not see, on the embedded model", () =>
  withEmbeddedModel(async (run) => {
    const parameters = rilq.parameters.parse({
      method: "rilq",
      steps: 20,
      evaluate_every: 10,
      accumulate: 4,
      lr: 1e-3,
    });
    const result = await rilq.initializeModel(run, parameters);
    const { held_out_loss: after = NaN, held_out_loss_before: before = NaN } = result.facts;
    assert(after < 0.98 * before, JSON.stringify(result.facts));
    const left = await errorElsewhere(run, result);
    assert(left < 0.9, `${left}`);
  }));
