/**
 * Checkpoints that are damaged, or of kinds that this project does not read.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { writeTinyModel } from "../../tests/support/tiny_model.ts";
import { SafetensorsFile, SafetensorsWriter, type TensorValues } from "../formats/safetensors.ts";
import type { Dtype } from "../formats/safetensors_header.ts";
import { rtn } from "../quantizers/rtn.ts";
import { modelLinears } from "./architecture.ts";
import { CheckpointFolder } from "./checkpoint_folder.ts";
import { writeGptqModel } from "./gptq_writer.ts";
import { ModelFolder } from "./model_folder.ts";
import { quantize } from "../stages/quantize.ts";
import { Workbench } from "../stages/testing/context.ts";

interface StoredTensor {
  dtype: Dtype;
  shape: readonly number[];
  values: TensorValues;
}

/** Runs a test on a GPTQ checkpoint of a tiny model, asymmetric in groups of 16. */
async function withCheckpoint(test: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const [model, checkpoint] = [join(folder, "model"), join(folder, "checkpoint")];
    await writeTinyModel(model, { deviation: 0.2 });
    const bench = new Workbench(folder);
    const quantizer = rtn.parameters.parse({ method: "rtn", bits: 4, group_size: 16 });
    await bench.run(quantize, "base", { model, quantizer });
    await Deno.mkdir(checkpoint);
    using base = ModelFolder.open(bench.artifact("base").folder);
    await writeGptqModel(base, checkpoint, { format: "gptq", producer: "test:1" });
    await test(checkpoint);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes the weights of a folder again with some changed. */
function edit(folder: string, change: (tensors: Map<string, StoredTensor>) => void): void {
  const path = join(folder, "model.safetensors");
  const tensors = new Map<string, StoredTensor>();
  {
    using file = SafetensorsFile.open(path);
    for (const [name, { dtype, shape }] of file.tensors) {
      tensors.set(name, { dtype, shape, values: file.readBytes(name) });
    }
  }
  change(tensors);
  const declared = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const writer = SafetensorsWriter.create(path, declared);
  for (const [name, { values }] of tensors) writer.write(name, values);
  writer.finish();
}

function editConfig(folder: string, change: Record<string, unknown> | null): void {
  const path = join(folder, "config.json");
  const { quantization_config: quantization, ...json } = JSON.parse(Deno.readTextFileSync(path));
  const edited = change === null
    ? json
    : { ...json, quantization_config: { ...quantization, ...change } };
  Deno.writeTextFileSync(path, JSON.stringify(edited));
}

const Q = "model.layers.0.self_attn.q_proj";

function assertRefused(folder: string, message: RegExp): void {
  assert.throws(() => CheckpointFolder.open(folder)[Symbol.dispose](), message);
}

Deno.test("settings that do not fit the tensors", () =>
  withCheckpoint((folder) => {
    editConfig(folder, { bits: 8 });
    assertRefused(
      folder,
      /"model\.layers\.0\.self_attn\.q_proj\.qweight" has shape \[4, 32\].* \[8, 32\]/,
    );
    editConfig(folder, { bits: 4, group_size: 8 });
    assertRefused(folder, /q_proj\.qzeros" has shape \[2, 4\].*\[4, 4\]/);
    editConfig(folder, { group_size: 24 });
    assertRefused(folder, /groups of 24 do not divide the 32 inputs of .*q_proj/);
    editConfig(folder, { group_size: 16, bits: 3 });
    assertRefused(folder, /q_proj\.qweight" has shape \[4, 32\].* \[3, 32\]/);
  }));

Deno.test("methods and kinds that this version does not read", () =>
  withCheckpoint((folder) => {
    editConfig(folder, { quant_method: "awq" });
    assertRefused(folder, /quant_method is "awq", and this version reads .* gptq and bitsandbytes/);
    const bitsandbytes = { quant_method: "bitsandbytes", load_in_4bit: true };
    editConfig(folder, { ...bitsandbytes, load_in_8bit: true });
    assertRefused(folder, /8-bit integers \(load_in_8bit\), and this version reads its NF4/);
    editConfig(folder, { ...bitsandbytes, load_in_8bit: false, bnb_4bit_quant_type: "fp4" });
    assertRefused(folder, /FP4 \(bnb_4bit_quant_type\)/);
    editConfig(folder, { ...bitsandbytes, bnb_4bit_quant_type: "nf4" });
    assertRefused(folder, /no linear layer has NF4 codes with their description/);
    edit(folder, (tensors) => {
      const values = Uint8Array.of(123, 125);
      const name = `${Q}.weight.quant_state.bitsandbytes__fp4`;
      tensors.set(name, { dtype: "U8", shape: [2], values });
    });
    assertRefused(folder, /q_proj in .*config\.json: the checkpoint is of bitsandbytes' FP4/);
  }));

Deno.test("without a configuration, quantize_config.json counts; others are told of the codes", () =>
  withCheckpoint(async (folder) => {
    editConfig(folder, null);
    CheckpointFolder.open(folder)[Symbol.dispose]();
    assert.throws(
      () => ModelFolder.open(folder),
      /tensor ".*qweight" holds codes of another program; .* method: checkpoint/,
    );
    await Deno.remove(join(folder, "quantize_config.json"));
    assertRefused(folder, /is not quantized .*; quantize it with another method/);
  }));

Deno.test("damaged tensors", () =>
  withCheckpoint((folder) => {
    const set = (name: string, dtype: Dtype, values: TensorValues) =>
      edit(folder, (tensors) => {
        tensors.set(name, { dtype, shape: [values.length], values });
      });
    const groups = (first: number) =>
      Int32Array.from({ length: 32 }, (_, input) => input === 0 ? first : Math.floor(input / 16));
    set(`${Q}.g_idx`, "I32", groups(2));
    assertRefused(folder, /q_proj\.g_idx puts input 0 into group 2, .* 2 groups of 16/);
    set(`${Q}.g_idx`, "I32", groups(1));
    assertRefused(folder, /q_proj\.g_idx puts input 31 into group 1/);
    set(`${Q}.g_idx`, "I32", groups(0).slice(1));
    assertRefused(folder, /q_proj\.g_idx" has shape \[31\]/);
    edit(folder, (tensors) => {
      tensors.delete(`${Q}.g_idx`);
    });
    // Without act-order, groups are as they come.
    CheckpointFolder.open(folder)[Symbol.dispose]();
    editConfig(folder, { desc_act: true });
    assertRefused(folder, /no tensor ".*q_proj\.g_idx"/);
    editConfig(folder, { desc_act: false });
    edit(folder, (tensors) => {
      const codes = tensors.get(`${Q}.qweight`);
      tensors.set(`${Q}.qweight`, { ...codes, dtype: "F32" } as StoredTensor);
    });
    using checkpoint = CheckpointFolder.open(folder);
    const [linear] = modelLinears(checkpoint.config);
    assert(linear !== undefined);
    assert.throws(() => checkpoint.weight(linear), /qweight" is F32; wanted I32/);
  }));

Deno.test("biases of zeros, layers that are not quantized and flooded zero points are remarked", () =>
  withCheckpoint(async (folder) => {
    const remarks = () => {
      using checkpoint = CheckpointFolder.open(folder);
      return checkpoint.remarks;
    };
    assert.deepEqual(remarks(), []);
    edit(folder, (tensors) => {
      tensors.set(`${Q}.bias`, { dtype: "F16", shape: [32], values: new Uint16Array(32) });
      const zeros = tensors.get(`${Q}.qzeros`);
      const flooded = new Int32Array(8).fill(0x77777777).with(3, -12);
      tensors.set(`${Q}.qzeros`, { ...zeros, values: flooded } as StoredTensor);
      for (const part of ["qweight", "qzeros", "scales", "g_idx"]) {
        tensors.delete(`model.layers.0.mlp.down_proj.${part}`);
      }
      const values = new Float32Array(32 * 64).fill(0.5);
      const name = "model.layers.0.mlp.down_proj.weight";
      tensors.set(name, { dtype: "F32", shape: [32, 64], values });
    });
    const found = remarks();
    assert.match(found[0] ?? "", /^1 of 7 linear layers are not quantized$/);
    assert.match(found[1] ?? "", /^1 layers have a bias of zeros that the architecture lacks/);
    assert.match(found[2] ?? "", /^1 words of zero points end in 16 ones/);
    using checkpoint = CheckpointFolder.open(folder);
    const down = modelLinears(checkpoint.config).at(-1);
    assert(down !== undefined && checkpoint.moduleFormat(down.path) === null);
    const dense = await checkpoint.weight(down);
    assert(dense.format === "dense" && dense.values.every((value) => value === 0.5));
    edit(folder, (tensors) => {
      const values = new Float32Array(32).fill(1);
      tensors.set(`${Q}.bias`, { dtype: "F32", shape: [32], values });
    });
    assertRefused(folder, /q_proj\.bias is not zero, but the architecture/);
  }));
