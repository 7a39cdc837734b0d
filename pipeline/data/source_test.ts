import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { describeSource, resolveSource } from "./source.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await Deno.mkdir(join(folder, "texts", "deep"), { recursive: true });
    for (const name of ["b.txt", "a.txt", "B.txt", "notes.md", "deep/c.txt"]) {
      await Deno.writeTextFile(join(folder, "texts", name), name);
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("resolveSource() takes files and folders, relative to the experiment", () =>
  inFolder(async (folder) => {
    const file = join(folder, "texts", "a.txt");
    assert.deepEqual(await resolveSource("texts/a.txt", folder), [file]);
    assert.deepEqual(await resolveSource(file, "/elsewhere"), [file]);
    assert.deepEqual(await resolveSource("texts", folder), [join(folder, "texts")]);
    assert.equal((await describeSource("texts", folder)).kind, "folder");
  }));

Deno.test("resolveSource() sorts what a glob matches by code units", () =>
  inFolder(async (folder) => {
    const names = (paths: readonly string[]) => paths.map((path) => path.slice(folder.length + 7));
    assert.deepEqual(names(await resolveSource("texts/*.txt", folder)), [
      "B.txt",
      "a.txt",
      "b.txt",
    ]);
    assert.deepEqual(names(await resolveSource("texts/[ab].txt", folder)), ["a.txt", "b.txt"]);
    assert.deepEqual(names(await resolveSource("texts/**/c.*", folder)), ["deep/c.txt"]);
    assert.deepEqual(names(await resolveSource("texts/*", folder)), [
      "B.txt",
      "a.txt",
      "b.txt",
      "notes.md",
    ], "folders are no files");
  }));

Deno.test("resolveSource() finds npm packages in node_modules above the experiment", () =>
  inFolder(async (folder) => {
    const scoped = join(folder, "node_modules", "@scope", "corpus");
    await Deno.mkdir(join(scoped, "text"), { recursive: true });
    await Deno.writeTextFile(join(scoped, "text", "one"), "");
    const experiment = join(folder, "texts", "deep");
    assert.deepEqual(await resolveSource("npm:@scope/corpus/text/*", experiment), [
      join(scoped, "text", "one"),
    ]);
    assert.deepEqual(await resolveSource("npm:@scope/corpus", experiment), [scoped]);
  }));

Deno.test("resolveSource() finds the packages of this repository", async () => {
  const [path] = await resolveSource("npm:zod/package.json", "/");
  assert.equal(JSON.parse(await Deno.readTextFile(path ?? "")).name, "zod");
});

for (
  const [reference, message] of [
    ["none.txt", /no file or folder "none\.txt" \(looked for .*none\.txt\)/],
    ["texts/a.txt/below", /no file or folder/],
    ["texts/*.csv", /"texts\/\*\.csv" matches no file/],
    ["nowhere/*.csv", /matches no file/],
    ["npm:not-installed/x", /package "not-installed".*deno install/],
    ["npm:", /package "" of "npm:"/],
    ["hf:org/name/../x", /empty part, "\." or "\.\."; wanted hf:org\/name/],
    ["", /empty/],
  ] as const
) {
  Deno.test(`resolveSource() refuses "${reference}"`, () =>
    inFolder(async (folder) => {
      await assert.rejects(resolveSource(reference, folder), (error) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, message);
        return true;
      });
    }));
}
