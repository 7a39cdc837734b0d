import assert from "node:assert/strict";
import { join } from "node:path";
import { cachePaths, folderBytes } from "./cache_folders.ts";

Deno.test("cachePaths() follows the variables of the programs that own the caches", () => {
  const plain = Object.fromEntries(cachePaths({ HOME: "/home/u" }).map(([, path]) => [path, true]));
  assert.ok(plain[join("/home/u", ".cache", "huggingface", "hub")]);
  const moved = cachePaths({
    HOME: "/home/u",
    XDG_CACHE_HOME: "/scratch",
    EQUIPOISE_STORE: "/disk/store",
    HF_HOME: "/hf",
    DENO_DIR: "/deno",
  }).map(([, path]) => path);
  for (const path of ["/disk/store", join("/hf", "hub"), "/deno", "/scratch/mesa_shader_cache"]) {
    assert.ok(moved.includes(path), path);
  }
});

Deno.test("folderBytes() adds up files at all depths and follows no links", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "a/b"), { recursive: true });
    await Deno.writeFile(join(folder, "a/b/x"), new Uint8Array(5));
    await Deno.writeFile(join(folder, "y"), new Uint8Array(7));
    await Deno.symlink(join(folder, "a"), join(folder, "link"), { type: "dir" });
    assert.equal(folderBytes(folder), 12);
    assert.equal(folderBytes(join(folder, "absent")), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
