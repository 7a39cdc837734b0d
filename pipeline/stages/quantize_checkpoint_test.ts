/**
 * Checkpoints of other programs, from folder to perplexity. The folders are made by
 * `tests/oracles/checkpoints.py`, which shares no code with this project.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { TINY_TEXT, writeTinyModel } from "../../tests/support/tiny_model.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { findPython } from "../environment/oracles.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { compareModels } from "./compare_models.ts";
import { evaluate } from "./evaluate.ts";
import { initialize } from "./initialize.ts";
import { merge } from "./merge.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";
import { train } from "./train.ts";

const SCRIPT = new URL("../../tests/oracles/checkpoints.py", import.meta.url);

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : null;

const GPTQ = { method: "gptq", bits: 4, group_size: 16, sym: false, desc_act: false };

/** What a checkpoint is loaded as. */
const CASES: readonly [name: string, request: Record<string, unknown>, format: string][] = [
  ["4 bits, symmetric", { ...GPTQ, sym: true }, "integer"],
  ["4 bits, one group", { ...GPTQ, group_size: -1 }, "integer"],
  ["4 bits, a group larger than a row", { ...GPTQ, group_size: 128 }, "integer"],
  ["4 bits, quantize_config.json", { ...GPTQ, config_file: "quantize_config.json" }, "integer"],
  ["3 bits", { ...GPTQ, bits: 3, group_size: 32 }, "integer"],
  ["2 bits, version 2", { ...GPTQ, bits: 2, checkpoint_format: "gptq_v2" }, "integer"],
  ["8 bits", { ...GPTQ, bits: 8 }, "integer"],
  ["8 bits, symmetric, version 2", {
    ...GPTQ,
    bits: 8,
    sym: true,
    checkpoint_format: "gptq_v2",
  }, "integer"],
  ["4 bits, act-order", { ...GPTQ, desc_act: true }, "ordered"],
  ["3 bits, act-order", { ...GPTQ, bits: 3, desc_act: true }, "ordered"],
  ["NF4", { method: "nf4", nested: false }, "nf4"],
  ["NF4, double quantization", { method: "nf4", nested: true }, "nf4"],
];

interface Bench extends Workbench {
  /** The quantized folder. */
  readonly checkpoint: string;
  /** The same model, its weights dequantized. */
  readonly dense: string;
  readonly text: string;
}

/** Runs a test on a checkpoint of a tiny model. */
async function withCheckpoint(
  request: Record<string, unknown>,
  test: (bench: Bench) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const [source, text] = [join(folder, "source"), join(folder, "text.txt")];
    const config = { hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2 };
    await writeTinyModel(source, { config, deviation: 0.2 });
    await Deno.writeTextFile(text, TINY_TEXT);
    const file = join(folder, "request.json");
    const whole = { checkpoint_format: "gptq", seed: 7, source, ...request };
    await Deno.writeTextFile(file, JSON.stringify(whole));
    const made = await new Deno.Command(python ?? "", { args: [SCRIPT.pathname, file, folder] })
      .output();
    assert(made.success, new TextDecoder().decode(made.stderr));
    const [checkpoint, dense] = [join(folder, "checkpoint"), join(folder, "dense")];
    await test(Object.assign(new Workbench(folder), { checkpoint, dense, text }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const METHOD = { method: "checkpoint" };

function opened(folder: string) {
  const model = ModelFolder.open(folder);
  return { model, adapter: null, full: false, [Symbol.dispose]: () => model[Symbol.dispose]() };
}

for (const [name, request, format] of CASES) {
  testUnless(
    missing,
    `${name}: weights and logits are those of the dequantized model`,
    () =>
      withCheckpoint(request, async (bench) => {
        const { checkpoint, dense, text } = bench;
        const outcome = await bench.run(quantize, "base", { model: checkpoint, quantizer: METHOD });
        using base = opened(bench.artifact("base").folder);
        using expected = opened(dense);
        // f16 times a code is exact in f32; tables of NF4 are computed in other ways, 1 ulp apart.
        const tolerance = format === "nf4" ? 1e-6 : 0;
        for (const linear of modelLinears(base.model.config)) {
          const weight = await base.model.weight(linear);
          assert.equal(weight.format, format);
          const wanted = await expected.model.weight(linear);
          assert(wanted.format === "dense");
          const found = dequantizeHost(weight);
          wanted.values.forEach((value, index) => {
            const error = Math.abs(value - (found[index] as number));
            assert(error <= tolerance, `${linear.path} ${index}: ${found[index]}, wanted ${value}`);
          });
        }
        const tokens = Tokenizer.open(dense).encode(TINY_TEXT).subarray(0, 64);
        const device = new ReferenceDevice();
        const { largestDifference, largestLogit } = await compareModels(device, expected, base, [
          tokens,
        ]);
        // The logits of the first model are kept in f32: half an ulp is 6e-8.
        const share = largestDifference / largestLogit;
        assert(share <= Math.max(1e-7, 10 * tolerance), `logits differ by ${share}`);
        device.close();
        const tasks = [{ task: "perplexity", data: { text }, window: 32 }];
        const { metrics } = await bench.run(evaluate, "quality", { tasks }, "base");
        assert((metrics["perplexity"]?.value ?? NaN) > 1);
        const bits = Number(request["bits"] ?? 4);
        assert((outcome.metrics["bits_per_weight"]?.value ?? 0) > bits);
        assert.match(String(outcome.facts?.["quantizer"]), /checkpoint/);
      }),
  );
}

testUnless(
  missing,
  "an asymmetric checkpoint trains, and merges exactly into float zero points",
  () =>
    withCheckpoint({ ...GPTQ, bits: 3, group_size: 32 }, async (bench) => {
      const { checkpoint, text } = bench;
      await bench.run(quantize, "base", { model: checkpoint, quantizer: METHOD });
      await bench.run(initialize, "adapter", { form: "qa-lora", rank: 4, alpha: 8 }, "base");
      const data = { data: { text }, steps: 4, batch_size: 2, length: 32 };
      await bench.run(train, "tuned", data, "adapter");
      const merged = await bench.run(merge, "merged", {}, "tuned");
      assert.equal(merged.facts?.["exact"], true);
      assert(Number(merged.facts?.["zero_movement_rms_steps"]) > 0);
      // What was merged is a folder of this project, which the method takes, too.
      const model = bench.artifact("merged").folder;
      await bench.run(quantize, "again", { model, quantizer: METHOD });
      using before = ModelFolder.open(model);
      using after = ModelFolder.open(bench.artifact("again").folder);
      assert.deepEqual(after.quantization, before.quantization);
      for (const name of before.tensors.names) {
        assert.deepEqual(after.tensors.readBytes(name), before.tensors.readBytes(name));
      }
    }),
);

testUnless(
  missing,
  "NF4 and act-order bases take a LoRA, and refuse forms that need zero points",
  async () => {
    for (const request of [{ method: "nf4", nested: true }, { ...GPTQ, desc_act: true }]) {
      await withCheckpoint(request, async (bench) => {
        const { checkpoint, text } = bench;
        await bench.run(quantize, "base", { model: checkpoint, quantizer: METHOD });
        await bench.run(initialize, "adapter", { form: "lora", rank: 4, alpha: 8 }, "base");
        const data = { data: { text }, steps: 2, batch_size: 2, length: 32 };
        await bench.run(train, "tuned", data, "adapter");
        const { metrics } = await bench.run(merge, "merged", { dtype: "f32" }, "tuned");
        assert((metrics["relative_logit_difference"]?.value ?? 1) < 1e-5);
        await assert.rejects(
          () => bench.run(initialize, "pooled", { form: "qa-lora" }, "base"),
          (error) =>
            error instanceof UserError && /aligns with integer.*has none/.test(error.message),
        );
      });
    }
  },
);

testUnless(
  missing,
  "other quantizers, and initializers that look at the original, name the way out",
  () =>
    withCheckpoint(GPTQ, async (bench) => {
      const { checkpoint, dense, text } = bench;
      const rtn = { method: "rtn", bits: 4, group_size: 16 };
      await assert.rejects(
        () => bench.run(quantize, "rtn", { model: checkpoint, quantizer: rtn }),
        /quant_method is "gptq"; .*`quantizer: \{ method: checkpoint \}`/,
      );
      await assert.rejects(
        () => bench.run(quantize, "none", { model: dense, quantizer: METHOD }),
        /dense is not quantized .*; quantize it with another method/,
      );
      await bench.run(quantize, "base", { model: checkpoint, quantizer: METHOD });
      await assert.rejects(
        () => bench.run(initialize, "loftq", { form: "lora", init: "loftq" }, "base"),
        /"base" took its codes from a checkpoint/,
      );
      const upstream = [{ stage: "quantize", parameters: { quantizer: METHOD } }];
      const problem = (options: object) =>
        initialize.check?.(initialize.parameters.parse({ form: "lora", ...options }), upstream) ??
          [];
      assert.deepEqual(problem({}), []);
      assert.equal(
        problem({ init: "cloq", calibration: { data: { text } } })[0]?.path,
        "calibration",
      );
      assert.match(problem({ init: "loftq" })[0]?.message ?? "", /not to be had/);
    }),
);

Deno.test("check() leaves nothing to do for calibration, a preprocessor or another node", () => {
  const paths = (options: object, upstream: { stage: string; parameters: unknown }[] = []) =>
    quantize.check?.(quantize.parameters.parse({ quantizer: METHOD, ...options }), upstream)
      .map(({ path }) => path);
  assert.deepEqual(paths({ model: "m" }), []);
  assert.deepEqual(paths({ model: "m", calibration: { data: { text: "t" } } }), ["calibration"]);
  assert.deepEqual(paths({ model: "m", preprocess: { method: "magr" } }), ["preprocess"]);
  assert.deepEqual(paths({}, [{ stage: "pretrain", parameters: {} }]), ["quantizer.method"]);
  assert.deepEqual(paths({}), ["model"]);
});
