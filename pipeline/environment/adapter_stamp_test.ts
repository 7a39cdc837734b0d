import assert from "node:assert/strict";
import { join } from "node:path";
import { readStamp, systemFingerprint, writeStamp } from "./adapter_stamp.ts";

const GPU = { name: "a GPU", software: false };

Deno.test("readStamp() trusts a note until the system changes", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "new/webgpu.json");
  try {
    assert.equal(readStamp(path, "driver 1"), null);
    writeStamp(GPU, path, "driver 1");
    assert.deepEqual(readStamp(path, "driver 1")?.adapter, GPU);
    assert.equal(readStamp(path, "driver 2"), null);
    await Deno.writeTextFile(path, "{ half a no");
    assert.equal(readStamp(path, "driver 1"), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("writeStamp() does without a note where none can be written", async () => {
  const file = await Deno.makeTempFile();
  try {
    writeStamp(GPU, join(file, "webgpu.json"), "driver 1");
    assert.equal(readStamp(join(file, "webgpu.json"), "driver 1"), null);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("systemFingerprint() names this Deno and stays equal while nothing changes", () => {
  assert.ok(systemFingerprint().includes(Deno.version.deno));
  assert.equal(systemFingerprint(), systemFingerprint());
});
