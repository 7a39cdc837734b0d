// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Twenty AdamW steps of LoRA on a quantized model, against a trainer written in PyTorch.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type HostAdapter, writeAdapter } from "../pipeline/adapters/adapter.ts";
import { adapterParameterShapes, placeAdapter } from "../pipeline/adapters/placement.ts";
import { planAdapter } from "../pipeline/adapters/plan.ts";
import { openCpu } from "../kernels/cpu/device.ts";
import { batchAt } from "../pipeline/data/batches.ts";
import { TextWindows } from "../pipeline/data/text_windows.ts";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { findPython } from "../pipeline/environment/oracles.ts";
import { dequantizeHost, type HostWeight } from "../pipeline/formats/host_weight.ts";
import { SafetensorsWriter } from "../pipeline/formats/safetensors.ts";
import { zeroModule } from "../pipeline/initializers/zero.ts";
import { LINEAR_NAMES, modelLinears } from "../pipeline/models/architecture.ts";
import { BatchModel } from "../pipeline/models/batch_model.ts";
import { loadLanguageModel } from "../pipeline/models/language_model.ts";
import { ModelFolder } from "../pipeline/models/model_folder.ts";
import { ParameterSpace } from "../pipeline/models/parameters.ts";
import { moduleFormat } from "../pipeline/models/quantized_tensors.ts";
import { rtn } from "../pipeline/quantizers/rtn.ts";
import { train } from "../pipeline/training/loop.ts";
import { optionsOf } from "../pipeline/training/testing/options.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const MODEL = join(TEST_DATA, "models/tinystories-656k");
const SCRIPT = new URL("./oracles/lora_training.py", import.meta.url).pathname;
const STEPS = 20;
const SEED = 11;

const python = await findPython(["torch", "numpy"]);
const missing = python === null
  ? "no Python with PyTorch: deno task setup --oracles"
  : NO_TEST_DATA;

testUnless(
  missing,
  "LoRA training losses follow PyTorch within 1e-3 over 20 AdamW steps",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await compare(python ?? "", folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function compare(python: string, folder: string): Promise<void> {
  using source = ModelFolder.open(MODEL);
  const linears = modelLinears(source.config);

  // An INT4 base; PyTorch gets its dequantized values.
  const base = new Map<string, HostWeight>();
  using writer = SafetensorsWriter.create(
    join(folder, "base.safetensors"),
    linears.map(({ path, rows, columns }) => ({
      name: `${path}.weight`,
      dtype: "F32",
      shape: [rows, columns],
    })),
  );
  for (const linear of linears) {
    const dense = await source.weight(linear);
    assert(dense.format === "dense");
    const { rows, columns, path } = linear;
    const quantized = rtn.quantize(
      dense.values,
      rows,
      columns,
      { method: "rtn", bits: 4, group_size: 32, block_rows: 1, symmetric: false },
      path,
    );
    base.set(path, quantized);
    writer.write(`${path}.weight`, dequantizeHost(quantized));
  }
  writer.finish();

  const peft = { r: 8, lora_alpha: 16, target_modules: [...LINEAR_NAMES] };
  const adapter: HostAdapter = {
    description: { form: "lora", pooling: "average", base: "", peft },
    modules: new Map(linears.map((linear) => {
      const shape = planAdapter(
        {
          form: "lora",
          rank: 8,
          alpha: 16,
          lambda: 1,
          rankStabilized: false,
          pooling: "average",
          budget: null,
          targets: LINEAR_NAMES,
        },
        linear,
        null,
      );
      return [linear.path, zeroModule(linear, shape!, SEED)];
    })),
  };
  await Deno.mkdir(join(folder, "adapter"));
  await writeAdapter(join(folder, "adapter"), adapter);

  const text = (await Deno.readTextFile(join(TEST_DATA, "text/tinystories/stories.txt"))).slice(
    0,
    40_000,
  );
  const dataset = new TextWindows(Tokenizer.open(MODEL).encode(text), 96);
  const options = optionsOf({
    steps: STEPS,
    batch_size: 4,
    length: 96,
    clip: 1,
    optimizer: { name: "adamw", lr: 2e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0 },
    schedule: { name: "constant", warmup_steps: 0, warmup_ratio: 0, minimum_ratio: 0 },
  });
  const batches = Array.from({ length: STEPS }, (_, step) => {
    const rows = batchAt(dataset, {
      batchSize: options.batch_size,
      seed: SEED,
      shuffle: options.shuffle,
      step,
    });
    return {
      tokens: rows.map(({ tokens }) => [...tokens]),
      targets: rows.map(({ targets }) => [...targets]),
    };
  });
  await Deno.writeTextFile(join(folder, "batches.json"), JSON.stringify(batches));

  const device = await openCpu();
  const space = new ParameterSpace(device, adapterParameterShapes(adapter));
  const model = await loadLanguageModel(
    device,
    {
      config: source.config,
      moduleFormat: (path) => moduleFormat(base.get(path)!),
      weight: ({ path }) => Promise.resolve(base.get(path)!),
      floats: (name) => source.floats(name),
    },
    space,
    placeAdapter(device, adapter),
  );
  const trainable = new BatchModel(model, {
    batchSize: options.batch_size,
    length: options.length,
  });
  const { records } = await train({
    trainable,
    dataset,
    options,
    seed: SEED,
    checkpointFolder: folder,
    signal: new AbortController().signal,
    report: () => {},
    log: () => {},
  });
  device.close();

  const { success, stdout, stderr } = await new Deno.Command(python, {
    args: [
      SCRIPT,
      MODEL,
      "train",
      ...["--batches", join(folder, "batches.json")],
      ...["--base", join(folder, "base.safetensors")],
      ...["--adapter", join(folder, "adapter", "adapter_model.safetensors")],
      ...["--scale", "2", "--lr", "2e-3", "--clip", "1", "--dtype", "float64"],
    ],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const expected: number[] = JSON.parse(new TextDecoder().decode(stdout)).losses;
  assert.equal(expected.length, STEPS);
  const differences = records.map(({ loss }, step) => Math.abs(loss - expected[step]!));
  assert(Math.max(...differences) < 1e-3, `losses differ by up to ${Math.max(...differences)}`);
  assert(expected[0]! - expected[STEPS - 1]! > 0.05, "the model learns, so the steps matter");
}
