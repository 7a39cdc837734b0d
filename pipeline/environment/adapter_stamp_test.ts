import assert from "node:assert/strict";
import { join } from "node:path";
import { readStamp, writeStamp } from "./adapter_stamp.ts";

Deno.test("readStamp() trusts a note until the system changes", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "new/webgpu.json");
  const manifest = join(folder, "icd.json");
  const before = Deno.env.get("VK_DRIVER_FILES");
  try {
    await Deno.writeTextFile(manifest, "{}");
    Deno.env.set("VK_DRIVER_FILES", manifest);
    assert.equal(readStamp(path), null);
    writeStamp("a GPU", path);
    assert.equal(readStamp(path)?.adapter, "a GPU");
    await Deno.writeTextFile(manifest, "{ }");
    assert.equal(readStamp(path)?.adapter, Deno.build.os === "linux" ? undefined : "a GPU");
    await Deno.writeTextFile(path, "{ half a no");
    assert.equal(readStamp(path), null);
  } finally {
    if (before === undefined) Deno.env.delete("VK_DRIVER_FILES");
    else Deno.env.set("VK_DRIVER_FILES", before);
    await Deno.remove(folder, { recursive: true });
  }
});
