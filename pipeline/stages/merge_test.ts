import assert from "node:assert/strict";
import { join } from "node:path";
import { RandomStream } from "../../kernels/random.ts";
import { writeTinyModel } from "../../tests/support/tiny_model.ts";
import { readAdapter, writeAdapter } from "../adapters/adapter.ts";
import { openTensors } from "../formats/hugging_face.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { ModelWriter } from "../models/model_writer.ts";
import type { NamedTensor } from "../models/quantized_tensors.ts";
import { initialize } from "./initialize.ts";
import { merge } from "./merge.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";

const LAYER = "model.layers.0.self_attn.q_proj";

interface Bench extends Workbench {
  readonly base: string;
  readonly adapter: string;
}

/** A tiny model in 4 bits ("base") with a QA-LoRA adapter of random matrices ("adapter"). */
async function withAdapter(test: (bench: Bench) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const model = join(folder, "model");
    await writeTinyModel(model);
    const bench = new Workbench(folder);
    const quantizer = { method: "rtn", bits: 4, group_size: 16 };
    await bench.run(quantize, "base", { model, quantizer });
    await bench.run(quantize, "dense", { model, quantizer: { method: "none" } });
    await bench.run(initialize, "adapter", { form: "qa-lora", rank: 2, alpha: 2 }, "base");
    const [base, adapter] = [bench.artifact("base").folder, bench.artifact("adapter").folder];
    await fillAdapter(adapter, 0.05);
    await test(Object.assign(bench, { base, adapter }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Gives B, which starts at zero, normal values. */
async function fillAdapter(folder: string, deviation: number): Promise<void> {
  const { description, modules } = readAdapter(folder);
  const filled = [...modules].map(([path, { shape, a, b }]) => {
    const random = new RandomStream(7, path);
    const values = Float32Array.from(b, (_, index) => deviation * random.normal(index));
    return [path, { shape, a, b: values }] as const;
  });
  await writeAdapter(folder, { description, modules: new Map(filled) });
}

/** Writes a model folder anew, with one more tensor or another `config.json`. */
async function rewrite(
  folder: string,
  extra: readonly NamedTensor[],
  change: (json: Record<string, unknown>) => Record<string, unknown> = (json) => json,
): Promise<void> {
  using model = ModelFolder.open(folder);
  const tensors = [
    ...model.tensors.names.map((name) => ({
      name,
      dtype: model.tensors.dtype(name),
      shape: model.tensors.shape(name),
      values: model.tensors.readBytes(name),
    })),
    ...extra,
  ];
  using writer = new ModelWriter(folder, tensors);
  for (const { name, values } of tensors) writer.write(name, values);
  await writer.finish(change({ ...model.json }));
}

Deno.test("merge refuses groups that are permuted (act-order)", () =>
  withAdapter(async (bench) => {
    await rewrite(bench.base, [{
      name: `${LAYER}.g_idx`,
      dtype: "U32",
      shape: [32],
      values: Uint32Array.from({ length: 32 }, (_, input) => input % 2),
    }]);
    await assert.rejects(bench.run(merge, "merged", {}, "adapter"), {
      name: "UserError",
      message: `Cannot merge into ${LAYER}: its groups are permuted (act-order, g_idx), so a ` +
        "pooled adapter is not constant on them; quantize without act-order",
    });
  }));

Deno.test("merge marks the model and refuses to merge the same adapter into it again", () =>
  withAdapter(async (bench) => {
    await bench.run(merge, "merged", {}, "adapter");
    using model = ModelFolder.open(bench.artifact("merged").folder);
    assert.equal(model.quantization?.merged, "adapter");
    bench.replace("base", "merged");
    await assert.rejects(bench.run(merge, "again", {}, "adapter"), {
      name: "UserError",
      message: `The model in ${model.folder} has this adapter merged already`,
    });
  }));

Deno.test("merge takes another adapter than the one that is merged already", () =>
  withAdapter(async (bench) => {
    await rewrite(bench.base, [], (json) => ({
      ...json,
      quantization_config: { ...json.quantization_config as object, merged: "another" },
    }));
    await bench.run(merge, "merged", {}, "adapter");
  }));

Deno.test("merge refuses an exact form on weights without zero points", () =>
  withAdapter(async (bench) => {
    bench.replace("base", "dense");
    await assert.rejects(bench.run(merge, "merged", {}, "adapter"), {
      name: "UserError",
      message: `Cannot merge the qa-lora adapter of ${LAYER} exactly: its weight is dense, which ` +
        "has no zero points of consecutive inputs",
    });
  }));

Deno.test("merge moves zeros only, and proves it on the text that came with the adapter", () =>
  withAdapter(async (bench) => {
    const rows = [[1, 5, 9, 40, 2, 7], [3, 3, 8]];
    await Deno.writeTextFile(join(bench.adapter, "probe.json"), JSON.stringify({ rows }));
    const { metrics, facts } = await bench.run(merge, "merged", {}, "adapter");
    assert.equal(facts?.merged_into, "zero points");
    assert.ok((metrics.relative_logit_difference?.value ?? NaN) <= 1e-5);
    assert.equal(metrics.relative_logit_difference?.protocol, "probe-9");
    using before = openTensors(bench.base);
    using after = openTensors(bench.artifact("merged").folder);
    const changed = before.names.filter((name) =>
      before.readBytes(name).join() !== after.readBytes(name).join()
    );
    assert.deepEqual(changed, before.names.filter((name) => name.endsWith(".zeros")));
  }));

Deno.test("merge fails loudly where logits cannot be compared", () =>
  withAdapter(async (bench) => {
    await Deno.writeTextFile(join(bench.adapter, "probe.json"), '{"rows": [[1, 5, 9]]}');
    await fillAdapter(bench.adapter, NaN);
    await assert.rejects(bench.run(merge, "merged", {}, "adapter"), {
      name: "UserError",
      message: /^The merge of "adapter" is not exact: a logit moved by NaN/,
    });
  }));
