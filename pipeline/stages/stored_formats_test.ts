/**
 * Every stage on bases whose formats no kernel reads as they are stored: mixed widths and signs.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { TINY_TEXT, writeTinyModel } from "../../tests/support/tiny_model.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import type { StageOutcome } from "../graph/stage.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { evaluate } from "./evaluate.ts";
import { initialize } from "./initialize.ts";
import { merge } from "./merge.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";
import { train } from "./train.ts";

const QUANTIZERS = {
  "slim-llm": { method: "slim-llm", bits: 2, group_size: 8 },
  billm: { method: "billm", group_size: 16 },
} as const;

interface Bench extends Workbench {
  readonly quantized: StageOutcome;
  /** The text that everything reads. */
  readonly text: string;
}

/** A tiny model, quantized as "base". */
async function withBase(
  quantizer: typeof QUANTIZERS[keyof typeof QUANTIZERS],
  test: (bench: Bench) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const [model, text] = [join(folder, "model"), join(folder, "text.txt")];
    await writeTinyModel(model, { deviation: 0.2 });
    await Deno.writeTextFile(text, TINY_TEXT);
    const bench = new Workbench(folder);
    const calibration = { data: { text }, samples: 4, length: 32 };
    const quantized = await bench.run(quantize, "base", { model, quantizer, calibration });
    await test(Object.assign(bench, { quantized, text }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [name, quantizer] of Object.entries(QUANTIZERS)) {
  Deno.test(`${name}: stored bits are the bytes of the file, and the paper's count is beside them`, () =>
    withBase(quantizer, (bench) => {
      const { quantized } = bench;
      using base = ModelFolder.open(bench.artifact("base").folder);
      let bytes = 0;
      let weights = 0;
      for (const { path, rows, columns } of modelLinears(base.config)) {
        weights += rows * columns;
        for (const tensor of base.tensors.names) {
          if (tensor.startsWith(`${path}.`)) bytes += base.tensors.readBytes(tensor).length;
        }
      }
      assert.equal(quantized.metrics["bits_per_weight"]?.value, 8 * bytes / weights);
      const counted = quantized.metrics["parameter_bits_per_weight"]?.value ?? 0;
      if (name === "slim-llm") assert.equal(counted, 2);
      else assert(counted > 1 && counted < 2);
      return Promise.resolve();
    }));

  Deno.test(`${name}: a LoRA trains on the base and merges into 16-bit weights`, () =>
    withBase(quantizer, async (bench) => {
      const { text } = bench;
      await bench.run(initialize, "adapter", { form: "lora", rank: 4, alpha: 8 }, "base");
      const options = { data: { text }, steps: 12, batch_size: 2, length: 32 };
      const optimizer = { name: "adamw", lr: 1e-2 };
      await bench.run(train, "tuned", { ...options, optimizer }, "adapter");
      const merged = await bench.run(merge, "merged", {}, "tuned");
      assert((merged.metrics["relative_logit_difference"]?.value ?? 1) < 1e-2);
      const perplexity = async (key: string) => {
        const tasks = [{ task: "perplexity", data: { text }, window: 32 }];
        const { metrics } = await bench.run(evaluate, `quality of ${key}`, { tasks }, key);
        return metrics["perplexity"]?.value ?? NaN;
      };
      const [base, tuned] = [await perplexity("base"), await perplexity("tuned")];
      assert(tuned < base, `${tuned}, ${base}`);
      assert(Math.abs(await perplexity("merged") / tuned - 1) < 1e-2);
    }));
}

Deno.test("slim-llm: forms that merge exactly move the zeros; codes and widths stay", () =>
  withBase(QUANTIZERS["slim-llm"], async (bench) => {
    const { text } = bench;
    for (const form of ["qa-lora", "qa-blora"]) {
      await bench.run(initialize, form, { form, rank: 4, alpha: 8 }, "base");
      const options = { data: { text }, steps: 4, batch_size: 2, length: 32 };
      await bench.run(train, `tuned ${form}`, options, form);
      const outcome = await bench.run(merge, `merged ${form}`, {}, `tuned ${form}`);
      // A merge that is not exact fails; float64 devices leave only the rounding of zeros to f32.
      assert.equal(outcome.facts?.["exact"], true);
      assert((outcome.metrics["relative_logit_difference"]?.value ?? 1) < 1e-5);
      assert(Number(outcome.facts?.["zero_movement_rms_steps"]) > 0);
      using before = ModelFolder.open(bench.artifact("base").folder);
      using after = ModelFolder.open(bench.artifact(`merged ${form}`).folder);
      for (const linear of modelLinears(before.config)) {
        const [left, right] = [await before.weight(linear), await after.weight(linear)];
        assert(left.format === "mixed" && right.format === "mixed");
        assert.deepEqual([right.codes, right.widths], [left.codes, left.widths]);
        assert.notDeepEqual(dequantizeHost(right), dequantizeHost(left));
      }
    }
  }));

Deno.test("billm: forms that merge exactly are refused, when checked and when run", () =>
  withBase(QUANTIZERS.billm, async (bench) => {
    const options = initialize.parameters.parse({ form: "qa-lora" });
    const upstream = [{ stage: "quantize", parameters: { quantizer: { method: "billm" } } }];
    assert.match(
      initialize.check?.(options, upstream)[0]?.message ?? "",
      /form qa-lora aligns .* quantized with "billm"; use an integer quantizer/,
    );
    await assert.rejects(
      () => bench.run(initialize, "adapter", { form: "qa-lora" }, "base"),
      (error) => error instanceof UserError && /aligns with integer.*has none/.test(error.message),
    );
  }));
