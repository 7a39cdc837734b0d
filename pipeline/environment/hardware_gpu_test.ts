import assert from "node:assert/strict";
import { findHardwareGpu, judgeProbe } from "./hardware_gpu.ts";

const NVIDIA = { devices: ["/dev/nvidia0"] };

Deno.test("judgeProbe() counts a GPU and not a software renderer", () => {
  const hardware = { name: "NVIDIA H200", software: false };
  assert.deepEqual(judgeProbe({ adapter: hardware, problem: "" }, NVIDIA), {
    gpu: "NVIDIA H200",
    reason: "WebGPU finds the GPU NVIDIA H200",
  });
  const software = { name: "llvmpipe", software: true };
  assert.deepEqual(judgeProbe({ adapter: software, problem: "" }, { devices: [] }), {
    gpu: null,
    reason: "WebGPU finds only the software renderer llvmpipe",
  });
});

Deno.test("judgeProbe() says that a GPU is there which WebGPU does not reach, and why", () => {
  assert.deepEqual(judgeProbe({ adapter: null, problem: "it ended with signal SIGSEGV" }, NVIDIA), {
    gpu: null,
    reason: "/dev/nvidia0 is there, but WebGPU finds no GPU (it ended with signal SIGSEGV)",
  });
});

Deno.test("findHardwareGpu() never takes a software renderer, and always has a reason", async () => {
  const { gpu, reason } = await findHardwareGpu();
  assert.doesNotMatch(gpu ?? "", /llvmpipe|swiftshader/i);
  assert.notEqual(reason, "");
});
