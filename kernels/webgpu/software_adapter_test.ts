import assert from "node:assert/strict";
import { isSoftwareAdapter } from "./software_adapter.ts";

function info(vendor: string, description: string, isFallbackAdapter = false) {
  return { vendor, description, isFallbackAdapter };
}

Deno.test("isSoftwareAdapter() knows the renderers that run on processors", () => {
  for (
    const software of [
      info("65541", "llvmpipe (LLVM 19.1.7, 256 bits)"),
      info("", "llvmpipe (LLVM 15.0.6, 256 bits)"),
      info("6880", "SwiftShader Device (Subzero)"),
      info("5140", "Microsoft Basic Render Driver"),
      info("32902", "something new", true),
    ]
  ) assert.equal(isSoftwareAdapter(software), true, software.description);
});

Deno.test("isSoftwareAdapter() takes GPUs for what they are", () => {
  for (
    const hardware of [
      info("4318", "NVIDIA H200"),
      info("4098", "AMD Radeon RX 7900 XTX (RADV NAVI31)"),
      info("32902", "Intel(R) Graphics (RPL-P)"),
      info("4203", "Apple M2"),
    ]
  ) assert.equal(isSoftwareAdapter(hardware), false, hardware.description);
});
