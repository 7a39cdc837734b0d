import assert from "node:assert/strict";
import { join } from "node:path";
import { TINY_TEXT, writeTinyModel } from "../../tests/support/tiny_model.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";

const UPSTREAM = [{ stage: "pretrain", parameters: {} }];

function problems(model: string | undefined, upstream: typeof UPSTREAM | []): unknown {
  const options = { quantizer: { method: "rtn", bits: 4 }, ...(model ? { model } : {}) };
  return quantize.check?.(quantize.parameters.parse(options), upstream);
}

Deno.test("check() takes a model by its folder or by from", () => {
  assert.deepEqual(problems("path/to/model", []), []);
  assert.deepEqual(problems(undefined, UPSTREAM), []);
});

Deno.test("check() refuses both and neither", () => {
  assert.deepEqual(problems("path/to/model", UPSTREAM), [
    { path: "model", message: "Both `model` and `from` are given; give the one to quantize" },
  ]);
  assert.deepEqual(problems(undefined, []), [{
    path: "model",
    message:
      "There is no model to quantize; give `model: path/to/folder`, or `from:` a node that " +
      "makes one",
  }]);
});

Deno.test("only a folder outside the store is a source", () => {
  const sources = (options: object) => quantize.sources(quantize.parameters.parse(options));
  const quantizer = { method: "nf4" };
  assert.deepEqual(sources({ quantizer }), []);
  assert.deepEqual(sources({ quantizer, model: "m" }), [{ reference: "m", path: "model" }]);
});

Deno.test("check() asks for calibration where a method looks at inputs", () => {
  const problems = (options: object) =>
    quantize.check?.(quantize.parameters.parse({ model: "m", ...options }), []);
  const rtn = { method: "rtn", group_size: 16 };
  const calibration = { data: { text: "text.txt" } };
  const advice =
    " looks at the inputs of layers; add `calibration: { data: { text: path/to/text } }`";
  assert.deepEqual(problems({ quantizer: rtn }), []);
  assert.deepEqual(problems({ quantizer: { method: "gptq" } }), [
    { path: "quantizer.method", message: "The quantizer gptq" + advice },
  ]);
  assert.deepEqual(problems({ quantizer: { method: "gptq" }, calibration }), []);
  assert.deepEqual(problems({ quantizer: rtn, preprocess: { method: "magr" } }), [
    { path: "preprocess.method", message: "The preprocessor magr" + advice },
  ]);
});

Deno.test("calibration text is a source; windows depend on the seed unless they have their own", () => {
  const parse = (calibration?: object) =>
    quantize.parameters.parse({
      model: "m",
      quantizer: { method: "gptq" },
      ...(calibration ? { calibration: { data: { text: "t" }, ...calibration } } : {}),
    });
  assert.deepEqual(quantize.sources(parse({})), [
    { reference: "m", path: "model" },
    { reference: "t", path: "calibration.data.text" },
  ]);
  assert.deepEqual(quantize.dependsOn(parse()), { seed: false, device: false });
  assert.deepEqual(quantize.dependsOn(parse({})), { seed: true, device: true });
  assert.deepEqual(quantize.dependsOn(parse({ seed: 3 })), { seed: false, device: true });
});

/** The codes of every layer of a quantized model. */
async function codesOf(folder: string): Promise<string[]> {
  using model = ModelFolder.open(folder);
  const weights = await Promise.all(
    modelLinears(model.config).map((linear) => model.weight(linear)),
  );
  return weights.map((weight) => weight.format === "dense" ? "" : weight.codes.join());
}

Deno.test("calibration decides codes, in every mode, and leaves nothing else behind", async () => {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const model = join(folder, "model");
    const text = join(folder, "text.txt");
    await writeTinyModel(model, { config: { num_hidden_layers: 2 }, deviation: 0.2 });
    await Deno.writeTextFile(text, TINY_TEXT);
    const bench = new Workbench(folder);
    const gptq = { method: "gptq", bits: 2, group_size: 16 };
    const data = { text };
    const base = { model, quantizer: gptq };
    const modes = {
      quantized: {},
      again: { batch_size: 2 },
      sequential: { true_sequential: true },
      full: { activations: "full" },
      seeded: { seed: 9 },
    };
    const codes: Record<string, string[]> = {};
    for (const [mode, options] of Object.entries(modes)) {
      const calibration = { data, samples: 4, length: 32, ...options };
      const { facts } = await bench.run(quantize, mode, { ...base, calibration });
      assert.equal(facts?.calibration_tokens, 128);
      codes[mode] = await codesOf(bench.artifact(mode).folder);
      const files = [...Deno.readDirSync(bench.artifact(mode).folder)].map(({ name }) => name);
      assert.deepEqual(files.filter((name) => name.endsWith(".tmp")), []);
    }
    const { quantized = [], again, sequential = [], full = [], seeded = [] } = codes;
    // Batches change no bit of float64 sums worth a code.
    assert.deepEqual(again, quantized);
    // Block 0: modes agree on q, k and v; full and quantized on all of it.
    assert.deepEqual(sequential.slice(0, 3), quantized.slice(0, 3));
    assert.deepEqual(full.slice(0, 7), quantized.slice(0, 7));
    assert.notDeepEqual(sequential.slice(3, 7), quantized.slice(3, 7));
    assert.notDeepEqual(full.slice(7), quantized.slice(7));
    assert.notDeepEqual(seeded, quantized);

    // One Gram matrix for all: the error that GPTQ minimizes is measured for any method.
    const errors: Record<string, number> = {};
    for (const method of ["gptq", "rtn", "none"]) {
      const quantizer = method === "none" ? { method } : { ...gptq, method };
      const calibration = { data, samples: 4, length: 32, activations: "full" };
      const { metrics } = await bench.run(quantize, method, { model, quantizer, calibration });
      errors[method] = metrics.calibrated_error?.value ?? NaN;
    }
    assert.equal(errors.none, 0);
    assert((errors.gptq ?? NaN) < 0.9 * (errors.rtn ?? NaN), JSON.stringify(errors));

    assert.deepEqual(bench.log, []);
    const few = { data, samples: 2, length: 16 };
    await bench.run(quantize, "few", { ...base, calibration: few });
    assert.match(
      bench.log[0] ?? "",
      /^Calibration has 32 tokens \(2 windows of 16\), fewer than the 64 inputs .* are singular/,
    );

    const preprocess = { method: "magr", alpha: 0.01 };
    const calibration = { data, samples: 4, length: 32 };
    const { facts } = await bench.run(quantize, "magr", { ...base, preprocess, calibration });
    assert.equal(facts?.preprocess, "magr");
    assert.notDeepEqual(await codesOf(bench.artifact("magr").folder), quantized);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a calibration text shorter than a window, or a window longer than the model", async () => {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const model = join(folder, "model");
    const text = join(folder, "text.txt");
    await writeTinyModel(model);
    await Deno.writeTextFile(text, "Few words.");
    const bench = new Workbench(folder);
    const quantizer = { method: "gptq", bits: 2, group_size: 16 };
    const run = (name: string, options: object) =>
      bench.run(quantize, name, { model, quantizer, calibration: { data: { text }, ...options } });
    await assert.rejects(run("short", {}), /has \d+ tokens, less than one window of 64/);
    await assert.rejects(
      run("long", { length: 65 }),
      /65 tokens do not fit the model's 64 positions/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
