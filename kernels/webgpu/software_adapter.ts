/**
 * Telling adapters that are processors in disguise from GPUs.
 *
 * @module
 */

/** PCI vendor id of Mesa's software renderers, as WebGPU reports it. */
export const MESA_SOFTWARE = "65541";

/** Whether an adapter computes on the processor: llvmpipe (lavapipe), SwiftShader, WARP. */
export function isSoftwareAdapter(
  { vendor, description, isFallbackAdapter }: Pick<
    GPUAdapterInfo,
    "vendor" | "description" | "isFallbackAdapter"
  >,
): boolean {
  return vendor === MESA_SOFTWARE || isFallbackAdapter ||
    /llvmpipe|swiftshader|Microsoft Basic Render/i.test(description);
}
