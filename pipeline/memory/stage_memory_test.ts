import assert from "node:assert/strict";
import { CountingDevice } from "../../kernels/counting/device.ts";
import { plainMemory } from "../../kernels/counting/memory_model.ts";
import { cpuInfo } from "../../kernels/cpu/info.ts";
import { cpuMemory } from "../../kernels/cpu/memory_model.ts";
import { webgpuMemory } from "../../kernels/webgpu/memory_model.ts";
import { rehearse, type StageMemory } from "./stage_memory.ts";
import { forecastChain, LORA, QUANTIZED, SEVEN_BILLION, training } from "./testing/forecasts.ts";

/** A GPU as large ones are: subgroups of 32, bindings of 2 GiB. */
const GPU = webgpuMemory({
  class: "gpu",
  subgroupSize: 32,
  preamble: "",
  maxWorkgroupStorageBytes: 49152,
  maxWorkgroupInvocations: 1024,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 2 ** 31 - 4,
}, { name: "webgpu", class: "test", description: "a GPU", maxTensorBytes: 2 ** 32 });

async function sevenBillion(checkpointing: boolean, model = GPU): Promise<StageMemory> {
  const forecasts = await forecastChain(SEVEN_BILLION, [
    QUANTIZED,
    LORA,
    training({ length: 2048, activation_checkpointing: checkpointing }),
  ]);
  const last = forecasts.at(-1);
  assert.ok(last);
  return rehearse(last, model);
}

function bytesOf({ device }: StageMemory, what: string): number | undefined {
  return device?.items.find((item) => item.what === what)?.bytes;
}

Deno.test("7B LoRA at INT4 with 2048 tokens is planned under 10 GB, from the config alone", async () => {
  for (const model of [GPU, cpuMemory(cpuInfo())]) {
    const memory = await sevenBillion(true, model);
    assert.ok(memory.device && memory.device.peak < 10e9, `${memory.device?.peak} bytes`);
    assert.ok(memory.device.peak > 8e9, "weights and what trains are more than 6 GB");
  }
  const without = await sevenBillion(false);
  assert.ok(without.device && without.device.peak > 20e9, "all activations are kept");
});

Deno.test("every kind of a 7B plan is what its shapes say", async () => {
  const memory = await sevenBillion(true);
  const linears = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008);
  assert.equal(bytesOf(memory, "weight codes"), linears / 2);
  assert.equal(bytesOf(memory, "scales and zeros"), 2 * 4 * linears / 32);
  assert.equal(bytesOf(memory, "embedding"), 4 * 32000 * 4096);
  assert.equal(bytesOf(memory, "head"), 4 * 32000 * 4096);
  assert.equal(bytesOf(memory, "norms and biases"), 4 * 65 * 4096);
  const adapters = 32 * 16 * (4 * 2 * 4096 + 3 * (4096 + 11008));
  assert.equal(bytesOf(memory, "trained parameters"), 4 * adapters);
  assert.equal(bytesOf(memory, "gradients"), 4 * adapters);
  assert.equal(bytesOf(memory, "optimizer moments"), 8 * adapters);
  // The input of every block, its last output, and the normalized output of the last.
  assert.equal(bytesOf(memory, "block inputs"), 4 * 2048 * 4096 * (32 + 1 + 1));
  const sum = memory.device?.items.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.equal(sum, memory.device?.peak);
});

Deno.test("boosting keeps the boosters of all rounds, and optimizes those of one", async () => {
  const [, , trained] = await forecastChain(SEVEN_BILLION, [
    QUANTIZED,
    ["initialize", { form: "lora", rank: 1 }],
    training({ length: 2048, scheme: { method: "xgblora", rounds: 2 } }),
  ]);
  assert.ok(trained);
  const memory = rehearse(trained, GPU);
  const booster = 32 * (4 * 2 * 4096 + 3 * (4096 + 11008));
  assert.equal(bytesOf(memory, "trained parameters"), 4 * booster);
  assert.equal(bytesOf(memory, "gradients"), 4 * booster);
  assert.equal(bytesOf(memory, "optimizer moments"), 8 * booster);
  assert.equal(bytesOf(memory, "adapter"), 2 * 4 * booster);
});

Deno.test("without checkpointing every block keeps its activations", async () => {
  const [on, off] = [await sevenBillion(true), await sevenBillion(false)];
  const kept = bytesOf(off, "activations") ?? 0;
  assert.equal(kept, 32 * (bytesOf(on, "activations") ?? 0));
  const widths = 7 * 4096 + 3 * 11008 + 32 + 7 * 16;
  assert.equal(kept, 32 * 4 * 2048 * widths);
});

Deno.test("a float takes eight bytes on the reference device", async () => {
  const forecasts = await forecastChain(SEVEN_BILLION, [QUANTIZED, LORA, training()]);
  const last = forecasts.at(-1);
  assert.ok(last);
  const [single, double] = [4, 8].map((width) =>
    rehearse(last, plainMemory("test", Infinity, width as 4 | 8))
  ) as [StageMemory, StageMemory];
  assert.equal(bytesOf(double, "head"), 2 * (bytesOf(single, "head") ?? 0));
  assert.equal(bytesOf(double, "weight codes"), bytesOf(single, "weight codes"));
});

Deno.test("a stage that computes nothing has no device memory; a device in host memory counts there", async () => {
  const [quantized, , trained] = await forecastChain(SEVEN_BILLION, [QUANTIZED, LORA, training()]);
  assert.ok(quantized && trained);
  const quantizing = rehearse(quantized, GPU);
  assert.equal(quantizing.device, null);
  // One layer in f32, its codes in bytes, and its packed codes with scales and zeros.
  const largest = 4096 * 11008;
  assert.ok(quantizing.host.peak > largest * (4 + 1 + 0.75));
  assert.ok(quantizing.host.peak < largest * (4 + 1 + 0.75) + 200e6, "never the whole model");
  const [onGpu, onCpu] = [rehearse(trained, GPU), rehearse(trained, cpuMemory(cpuInfo()))];
  assert.ok(onGpu.host.peak < 1e9 && onCpu.host.peak > 6e9);
});

Deno.test("formats that no kernel reads are planned as devices hold them, and pass through the host", async () => {
  const linears = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008);
  const largest = 4096 * 11008;
  const planned = async (quantizer: Record<string, unknown>) => {
    const calibration = { data: { text: "text" }, samples: 2, length: 2048 };
    const [quantized, , trained] = await forecastChain(SEVEN_BILLION, [
      ["quantize", { model: "MODEL", quantizer, calibration }],
      LORA,
      training({ length: 2048, activation_checkpointing: true }),
    ]);
    assert.ok(quantized && trained);
    const device = new CountingDevice(plainMemory("test", Infinity));
    trained.rehearse(device);
    const passing = device.ledger.lifetimes(["host"])
      .find(({ label }) => label === "a layer in the format of the device")?.bytes;
    return {
      quantized: rehearse(quantized, GPU),
      trained: rehearse(trained, GPU),
      passing,
    };
  };
  const slim = await planned({ method: "slim-llm", bits: 2, group_size: 32 });
  // Two bits on average in the file, three on the device; scales and zeros in both.
  assert.equal(bytesOf(slim.trained, "weight codes"), linears * 3 / 8);
  assert.equal(bytesOf(slim.trained, "scales and zeros"), 2 * 4 * linears / 32);
  const [zeros, tags] = [2 * 4 * largest / 32, 11008 / 32];
  assert.equal(
    slim.passing,
    largest * 2 / 8 + zeros + tags + largest + largest * 3 / 8 + zeros,
  );
  // Outputs of 2048 sampled inputs three times, in float64.
  assert.ok(slim.quantized.host.peak > 3 * 8 * 2048 * 11008);
  const billm = await planned({ method: "billm" });
  // Codes of three bits, and eight values for 128 weights of a row.
  assert.equal(bytesOf(billm.trained, "weight codes"), linears * 3 / 8);
  assert.equal(bytesOf(billm.trained, "values of codes"), 8 * 4 * linears / 128);
  assert.equal((await planned({ method: "gptq" })).passing, undefined);
});
