import assert from "node:assert/strict";
import { load, mistakes, parametersOf } from "./testing/load_files.ts";

const FILE = `name: large
vars: { model: seven }
graph:
  base: { stage: quantize, model: "\${model}", quantizer: { method: rtn, bits: 4 } }
  adapter: { stage: initialize, from: base, form: lora, rank: 64 }
grid: { adapter.rank: [32, 64] }
scales:
  tiny:
    vars: { model: small }
    graph: { adapter: { alpha: 3 } }
    grid: { adapter.rank: [2, 4, 8] }
  named: { name: other, grid: { adapter.rank: [1] } }
`;

async function shapeOf(files: Record<string, string>, set: readonly string[] = []) {
  const { experiment, folder } = await load(files, set);
  const [cell] = experiment.cells;
  return {
    name: experiment.name,
    cells: experiment.cells.length,
    model: String(parametersOf(cell, "base").model).replace(`${folder}/`, ""),
    alpha: parametersOf(cell, "adapter").alpha,
    document: experiment.document,
  };
}

Deno.test("without a scale the file stands as it is", async () => {
  const { document, ...shape } = await shapeOf({ "own.yaml": FILE });
  assert.deepEqual(shape, { name: "large", cells: 2, model: "seven", alpha: 16 });
  assert.ok(
    !("scales" in (document as object)),
    "what was not chosen is no part of the experiment",
  );
  for (const set of ["scale=full", "scale=null"]) {
    assert.equal((await shapeOf({ "own.yaml": FILE }, [set])).name, "large");
  }
});

Deno.test("a scale is laid over the file and has results of its own", async () => {
  const tiny = { name: "large-tiny", cells: 3, model: "small", alpha: 3 };
  const { document: _, ...shape } = await shapeOf({ "own.yaml": FILE }, ["scale=tiny"]);
  assert.deepEqual(shape, tiny);
  const { document: __, ...written } = await shapeOf({ "own.yaml": `${FILE}scale: tiny\n` });
  assert.deepEqual(written, tiny);
  assert.equal((await shapeOf({ "own.yaml": FILE }, ["scale=named"])).name, "other");
});

Deno.test("other settings come after the scale, and the command line wins over the file", async () => {
  const set = ["adapter.alpha=5", "scale=tiny", "scale=tiny"];
  assert.equal((await shapeOf({ "own.yaml": FILE }, set)).alpha, 5);
  const { cells } = await shapeOf({ "own.yaml": `${FILE}scale: tiny\n` }, ["scale=full"]);
  assert.equal(cells, 2);
});

Deno.test("scales are inherited, and a file without a name is named after itself", async () => {
  const { name, cells } = await shapeOf(
    { "base.yaml": FILE, "own.yaml": "extends: base.yaml\nvars: { model: ours }\n" },
    ["scale=tiny"],
  );
  assert.deepEqual([name, cells], ["own-tiny", 3]);
});

Deno.test("a scale that is not there, or none, is one sentence with its place", async () => {
  assert.deepEqual(await mistakes(FILE, ["scale=tyni"]), [
    '--set scale=tyni: There is no scale "tyni"; did you mean "tiny"? Allowed: full, tiny, named',
  ]);
  assert.deepEqual(await mistakes(`${FILE}scale: huge\n`), [
    'own.yaml:13:1: There is no scale "huge"; allowed: full, tiny, named',
  ]);
  assert.deepEqual(await mistakes(FILE, ["scale=[tiny]"]), [
    '--set scale=[tiny]: scale must be a name: found ["tiny"]',
  ]);
  assert.deepEqual(await mistakes(FILE.replace("tiny:", "tiny: 3\n  other:"), ["scale=tiny"]), [
    'own.yaml:8:9: The scale "tiny" must be a map of what it changes',
  ]);
});

Deno.test("what a scale gets wrong is reported where it stands", async () => {
  const [mistake] = await mistakes(FILE.replace("alpha: 3", "alhpa: 3"), ["scale=tiny"]);
  assert.match(mistake ?? "", /^own.yaml:10:25: Unknown key "alhpa".*did you mean "alpha"/);
});
