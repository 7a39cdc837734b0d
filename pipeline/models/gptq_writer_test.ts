/**
 * Models that this project quantized, as GPTQ checkpoints: read by NumPy, and by this project again.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { testUnless } from "../../tests/support/optional.ts";
import { TINY_TEXT, writeTinyModel } from "../../tests/support/tiny_model.ts";
import { findPython } from "../environment/oracles.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import { SafetensorsFile } from "../formats/safetensors.ts";
import { modelLinears } from "./architecture.ts";
import { writeGptqModel } from "./gptq_writer.ts";
import { ModelFolder } from "./model_folder.ts";
import { quantize } from "../stages/quantize.ts";
import { Workbench } from "../stages/testing/context.ts";

const SCRIPT = new URL("../../tests/oracles/checkpoints.py", import.meta.url);

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : null;

/** Quantizes a tiny model as "base". */
async function withBase(
  quantizer: Record<string, unknown>,
  test: (bench: Workbench, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const [model, text] = [join(folder, "model"), join(folder, "text.txt")];
    await writeTinyModel(model, {
      config: { hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1 },
      deviation: 0.2,
    });
    await Deno.writeTextFile(text, TINY_TEXT);
    const bench = new Workbench(folder);
    const calibration = quantizer.method === "gptq"
      ? { calibration: { data: { text }, samples: 4, length: 32 } }
      : {};
    await bench.run(quantize, "base", { model, quantizer, ...calibration });
    await test(bench, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CASES = [
  [{ method: "rtn", bits: 4, group_size: 32 }, "gptq"],
  [{ method: "rtn", bits: 3, group_size: 16, symmetric: true }, "gptq"],
  [{ method: "rtn", bits: 2, group_size: 32 }, "gptq_v2"],
  [{ method: "rtn", bits: 8, group_size: 32 }, "gptq"],
  [{ method: "gptq", bits: 4, group_size: 32, act_order: true }, "gptq"],
] as const;

for (const [quantizer, format] of CASES) {
  const name = `${Object.values(quantizer).join(" ")}, ${format}`;
  testUnless(
    missing,
    `${name}: codes and zero points are kept, scales are rounded once`,
    () =>
      withBase(quantizer, async (bench, folder) => {
        const checkpoint = join(folder, "checkpoint");
        await Deno.mkdir(checkpoint);
        using base = ModelFolder.open(bench.artifact("base").folder);
        const options = { format, producer: "test:1" };
        const { scaleRounding } = await writeGptqModel(base, checkpoint, options);
        assert(scaleRounding > 0 && scaleRounding <= 2 ** -11);

        const request = join(folder, "request.json");
        await Deno.writeTextFile(request, JSON.stringify({ source: checkpoint, method: "read" }));
        const read = await new Deno.Command(python ?? "", {
          args: [SCRIPT.pathname, request, folder],
        }).output();
        assert(read.success, new TextDecoder().decode(read.stderr));
        using dense = SafetensorsFile.open(join(folder, "dense.safetensors"));

        await bench.run(quantize, "again", {
          model: checkpoint,
          quantizer: { method: "checkpoint" },
        });
        using again = ModelFolder.open(bench.artifact("again").folder);
        for (const linear of modelLinears(base.config)) {
          const [before, after] = [await base.weight(linear), await again.weight(linear)];
          assert(before.format === "integer" || before.format === "ordered");
          const rounded = { ...before, scales: before.scales.map(Math.f16round) };
          // g_idx says which inputs a group has, not in which order they were.
          if (before.format === "integer") assert.deepEqual(after, rounded);
          assert.deepEqual(dequantizeHost(after), dequantizeHost(rounded));
          assert.deepEqual(dense.readFloats(linear.path), dequantizeHost(rounded));
        }
      }),
  );
}

Deno.test("layers without integer codes, and merged zero points, are refused", async () => {
  await withBase({ method: "nf4" }, async (bench, folder) => {
    using base = ModelFolder.open(bench.artifact("base").folder);
    await assert.rejects(
      () => writeGptqModel(base, folder, { format: "gptq", producer: "test:1" }),
      /its weight is nf4; wanted integer codes/,
    );
  });
  await withBase({ method: "none" }, async (bench, folder) => {
    using base = ModelFolder.open(bench.artifact("base").folder);
    await assert.rejects(
      () => writeGptqModel(base, folder, { format: "gptq", producer: "test:1" }),
      /codes of no bits in groups of no inputs/,
    );
  });
});
