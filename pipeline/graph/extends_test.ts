import assert from "node:assert/strict";
import { join } from "node:path";
import { readExperimentFile } from "./extends.ts";
import { type LocatedMap, originOf, toPlain } from "./located.ts";
import { ProblemList } from "./problems.ts";
import { linesOf } from "./testing/experiment_files.ts";

/** Writes files into a fresh folder, reads one, and shows the folder as "DIR". */
async function read(
  files: Record<string, string>,
  name: string,
  use: (document: LocatedMap | null, lines: string[], folder: string) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(join(folder, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, path), text);
    }
    const problems = new ProblemList();
    const document = await readExperimentFile(join(folder, name), problems);
    use(document, linesOf(problems).map((line) => line.replaceAll(folder, "DIR")), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("readExperimentFile() lays a file over those it extends, the later over the earlier", () =>
  read(
    {
      "shared/root.yaml": "seed: 1\ngraph: { a: { x: 1, list: [1, 2] } }\nname: root",
      "shared/base.yaml": "extends: root.yaml\ngraph: { a: { y: 2 } }\ndescription: base",
      "other.yaml": "description: other\ngraph: { a: { y: 3 } }",
      "own.yaml": "extends: [shared/base.yaml, other.yaml]\ngraph:\n  a: { list: [3] }",
    },
    "own.yaml",
    (document, lines, folder) => {
      assert.deepEqual(lines, []);
      assert.ok(document);
      assert.deepEqual(toPlain(document), {
        seed: 1,
        graph: { a: { x: 1, list: [3], y: 3 } },
        description: "other",
      });
      assert.deepEqual(originOf(document, ["graph", "a", "x"]), {
        position: { file: join(folder, "shared/root.yaml"), line: 2, column: 18 },
        folder: join(folder, "shared"),
      });
      assert.equal(originOf(document, ["graph", "a", "list"]).position?.line, 3);
    },
  ));

Deno.test("readExperimentFile() allows two files to extend the same one", () =>
  read(
    {
      "a.yaml": "extends: [b.yaml, c.yaml]",
      "b.yaml": "extends: d.yaml\nb: 1",
      "c.yaml": "extends: d.yaml\nc: 1",
      "d.yaml": "d: 1",
    },
    "a.yaml",
    (document, lines) => {
      assert.deepEqual(lines, []);
      assert.deepEqual(document && toPlain(document), { d: 1, b: 1, c: 1 });
    },
  ));

Deno.test("readExperimentFile() reports cycles, missing files and wrong references at their place", () =>
  read(
    {
      "a.yaml": "name: x\nextends: [b.yaml, missing.yaml, 3, folder]",
      "b.yaml": "extends: ./a.yaml",
      "folder/x": "",
    },
    "a.yaml",
    (_, lines) => {
      assert.deepEqual(lines, [
        'DIR/a.yaml:2:19: Cannot read the experiment file "DIR/missing.yaml": there is no such file',
        "DIR/a.yaml:2:33: extends must be the path of a YAML file, or a list of paths",
        'DIR/a.yaml:2:36: Cannot read the experiment file "DIR/folder": it is a folder',
        "DIR/b.yaml:1:10: A file cannot extend itself: DIR/a.yaml -> DIR/b.yaml -> DIR/a.yaml",
      ]);
    },
  ));

Deno.test("readExperimentFile() reports a missing file and a file that is not a map", async () => {
  await read({}, "none.yaml", (document, lines) => {
    assert.equal(document, null);
    assert.deepEqual(lines, [
      'Cannot read the experiment file "DIR/none.yaml": there is no such file',
    ]);
  });
  await read({ "list.yaml": "\n- 1" }, "list.yaml", (document, lines) => {
    assert.equal(document, null);
    assert.deepEqual(lines, [
      'DIR/list.yaml:2:1: An experiment file must be a map with the key "graph"',
    ]);
  });
});
