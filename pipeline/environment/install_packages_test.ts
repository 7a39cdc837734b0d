import assert from "node:assert/strict";
import { join } from "node:path";
import { preparePrivateSources } from "./install_packages.ts";

Deno.test("preparePrivateSources() copies the system's sources and adds the backports", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const system = join(folder, "etc");
    const target = join(folder, "private");
    await Deno.mkdir(join(system, "sources.list.d"), { recursive: true });
    await Deno.mkdir(target);
    const other = "Types: deb\nURIs: http://other.example\nSuites: stable\nComponents: main\n";
    await Deno.writeTextFile(join(system, "sources.list"), "deb http://m.example bookworm main\n");
    await Deno.writeTextFile(join(system, "sources.list.d/other.sources"), other);
    await Deno.writeTextFile(join(system, "sources.list.d/off.list.disabled"), "deb x y z\n");

    const prepared = await preparePrivateSources(target, system, "bookworm");
    assert.equal(prepared?.release, "bookworm-backports");
    const parts = prepared?.parts ?? "";
    assert.deepEqual([...Deno.readDirSync(parts)].map(({ name }) => name).sort(), [
      "equipoise-backports.sources",
      "other.sources",
    ]);
    assert.equal(await Deno.readTextFile(join(parts, "other.sources")), other);
    assert.match(
      await Deno.readTextFile(join(parts, "equipoise-backports.sources")),
      /uris: http:\/\/m\.example\nsuites: bookworm-backports\n/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("preparePrivateSources() is null where the release's own source is unknown", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(await preparePrivateSources(folder, join(folder, "absent"), "bookworm"), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
