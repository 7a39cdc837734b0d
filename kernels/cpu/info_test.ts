import assert from "node:assert/strict";
import { openCpu } from "./device.ts";
import { cpuInfo } from "./info.ts";

Deno.test("cpuInfo() tells what the opened device is", async () => {
  const options = { threads: 1, memoryBytes: 2 ** 26 };
  const device = await openCpu(options);
  assert.deepEqual(device.info, cpuInfo(options));
  assert.equal(device.info.description, "WebAssembly SIMD, 1 thread");
  device.close();
});

Deno.test("the class names what changes results, and not the number of threads", () => {
  const [one, two] = [cpuInfo({ threads: 1 }), cpuInfo({ threads: 2 })];
  assert.equal(one.class, two.class);
  assert.match(
    one.class,
    /^cpu; wasm; (x86_64|aarch64); (fused multiply-add|separate multiply and add)$/,
  );
  // ARM has had the fused instruction from its first 64-bit version on.
  if (Deno.build.arch === "aarch64") assert.match(one.class, /fused/);
});
