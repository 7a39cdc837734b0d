import assert from "node:assert/strict";
import { join } from "node:path";
import { digestOf } from "./digest.ts";
import { type DigestCache, digestSource } from "./source_digest.ts";

// printf one | sha256sum, printf two | sha256sum
const ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const TWO = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

const NO_CACHE: DigestCache = { fileDigest: () => null, setFileDigest: () => {} };

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("digestSource() of a file is that of its bytes, whatever its name", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "a.txt"), "one");
    await Deno.writeTextFile(join(folder, "b.txt"), "one");
    assert.equal(await digestSource("a.txt", folder, NO_CACHE), ONE);
    assert.equal(await digestSource("b.txt", folder, NO_CACHE), ONE);
  }));

Deno.test("digestSource() of a folder covers names and bytes, except hidden names", () =>
  inFolder(async (folder) => {
    const model = join(folder, "model");
    await Deno.mkdir(join(model, "below"), { recursive: true });
    await Deno.writeTextFile(join(model, "z.txt"), "one");
    await Deno.writeTextFile(join(model, "below", "a.txt"), "two");
    const entries = [["below/a.txt", TWO], ["z.txt", ONE]];
    const digest = digestOf({ kind: "folder", entries });
    assert.equal(await digestSource("model", folder, NO_CACHE), digest);

    await Deno.mkdir(join(model, ".git"));
    await Deno.writeTextFile(join(model, ".git", "HEAD"), "main");
    assert.equal(await digestSource("model", folder, NO_CACHE), digest);

    await Deno.rename(model, join(folder, "moved"));
    assert.equal(await digestSource("moved", folder, NO_CACHE), digest);

    await Deno.rename(join(folder, "moved", "z.txt"), join(folder, "moved", "y.txt"));
    assert.notEqual(await digestSource("moved", folder, NO_CACHE), digest);
  }));

Deno.test("digestSource() follows links, of which caches of models are made", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "snapshot"));
    await Deno.writeTextFile(join(folder, "blob"), "one");
    await Deno.symlink("../blob", join(folder, "snapshot", "model.bin"));
    const digest = digestOf({ kind: "folder", entries: [["model.bin", ONE]] });
    assert.equal(await digestSource("snapshot", folder, NO_CACHE), digest);
  }));

Deno.test("digestSource() remembers a file that has not changed for a while, until it changes", () =>
  inFolder(async (folder) => {
    const known = new Map<string, string>();
    let hits = 0;
    const cache: DigestCache = {
      fileDigest: (path, stamp) => {
        const digest = known.get(`${path} ${stamp}`) ?? null;
        if (digest !== null) hits++;
        return digest;
      },
      setFileDigest: (path, stamp, digest) => known.set(`${path} ${stamp}`, digest),
    };
    // A file of this process's executable is old; one written just now may still change.
    const old = Deno.execPath();
    const digest = await digestSource(old, folder, cache);
    assert.equal(hits, 0);
    assert.equal(await digestSource(old, folder, cache), digest);
    assert.equal(hits, 1);

    const young = join(folder, "young");
    await Deno.writeTextFile(young, "one");
    assert.equal(await digestSource(young, folder, cache), ONE);
    assert.equal(known.size, 1, "the young file is not remembered");
    await Deno.writeTextFile(young, "two");
    assert.equal(await digestSource(young, folder, cache), TWO);
  }));
