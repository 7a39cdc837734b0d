/**
 * A process that opens WebGPU and says what it got: one line of JSON, `null` without an adapter. It is
 * a process of its own because a faulty driver can take its process down, and because Deno looks for
 * drivers only once per process.
 *
 * @module
 */

if (Deno.build.os === "linux" && !Deno.env.has("DENO_WEBGPU_BACKEND")) {
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
}
const adapter = "gpu" in navigator
  ? await navigator.gpu.requestAdapter({ powerPreference: "high-performance" })
  : null;
if (adapter) (await adapter.requestDevice()).destroy();
console.log(JSON.stringify(adapter && (adapter.info.description || adapter.info.vendor)));
