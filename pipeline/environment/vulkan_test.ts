import assert from "node:assert/strict";
import { findVulkan } from "./vulkan.ts";

const LINUX = Deno.build.os === "linux";

async function withRoot(paths: string[], test: (root: string) => void): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const path of paths) {
      await Deno.mkdir(root + path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(root + path, "{}");
    }
    test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test({
  name: "findVulkan() lists loader, manifests and GPUs, sorted",
  ignore: !LINUX,
  fn: () =>
    withRoot([
      "/usr/lib/x86_64-linux-gnu/libvulkan.so.1",
      "/usr/share/vulkan/icd.d/lvp_icd.json",
      "/usr/share/vulkan/icd.d/README",
      "/etc/vulkan/icd.d/nvidia_icd.json",
      "/home/u/.local/share/vulkan/icd.d/own.json",
      "/dev/nvidia0",
      "/dev/nvidiactl",
      "/dev/dri/renderD128",
      "/dev/dri/card0",
    ], (root) => {
      const found = findVulkan(root, { HOME: "/home/u" });
      assert.deepEqual(found.loaders.map(({ path, size }) => [path, size]), [
        [`${root}/usr/lib/x86_64-linux-gnu/libvulkan.so.1`, 2],
      ]);
      assert.deepEqual(found.drivers.map(({ path }) => path), [
        `${root}/etc/vulkan/icd.d/nvidia_icd.json`,
        `${root}/home/u/.local/share/vulkan/icd.d/own.json`,
        `${root}/usr/share/vulkan/icd.d/lvp_icd.json`,
      ]);
      assert.deepEqual(found.devices, [`${root}/dev/dri/renderD128`, `${root}/dev/nvidia0`]);
    }),
});

Deno.test({
  name: "findVulkan() sees only the manifests that VK_DRIVER_FILES names",
  ignore: !LINUX,
  fn: () =>
    withRoot(["/usr/share/vulkan/icd.d/lvp_icd.json", "/opt/gpu.json"], (root) => {
      const variables = {
        VK_DRIVER_FILES: "/opt/gpu.json:/opt/absent.json",
        VK_ICD_FILENAMES: "/x",
      };
      assert.deepEqual(
        findVulkan(root, variables).drivers.map(({ path }) => path),
        [`${root}/opt/gpu.json`],
      );
    }),
});

Deno.test("findVulkan() finds nothing on an empty system", () =>
  withRoot([], (root) => {
    assert.deepEqual(findVulkan(root, {}), { loaders: [], drivers: [], devices: [] });
  }));
