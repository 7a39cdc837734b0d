/**
 * A process that opens WebGPU and says what it got: one line of JSON, an `AdapterFound` of
 * `probe_adapter.ts` or `null` without an adapter. It is a process of its own because a faulty driver can take its process down, and because Deno looks for
 * drivers only once per process.
 *
 * @module
 */

import { isSoftwareAdapter } from "../../kernels/webgpu/software_adapter.ts";

if (Deno.build.os === "linux" && !Deno.env.has("DENO_WEBGPU_BACKEND")) {
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
}
const adapter = "gpu" in navigator
  ? await navigator.gpu.requestAdapter({ powerPreference: "high-performance" })
  : null;
if (adapter) (await adapter.requestDevice()).destroy();
const found = adapter && {
  name: adapter.info.description || adapter.info.vendor,
  software: isSoftwareAdapter(adapter.info),
};
console.log(JSON.stringify(found));
