/**
 * Real files and invented ones, read as Python's own `csv`, `json`, `gzip` and `bz2` read them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { RandomStream } from "../../../kernels/random.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { findPython } from "../../environment/oracles.ts";
import { readTable } from "./read_table.ts";

const python = await findPython([]);
const NO_PYTHON = python === null ? "there is no python3" : null;

/** One line a file: rows, and the SHA-256 of all cells, each after its column. */
const SUMMARY = `
import bz2, csv, gzip, hashlib, json, sys
csv.field_size_limit(1 << 30)
openers = {"gz": gzip.open, "bz2": bz2.open}
for path in sys.argv[1:]:
    name = path.rsplit("/", 1)[1]
    opener = openers.get(name.rsplit(".", 1)[1], open)
    digest, rows = hashlib.sha256(), 0
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        if ".jsonl" in name: table = [json.loads(line) for line in file if line.strip()]
        elif ".json" in name: table = json.load(file)
        else: table = csv.DictReader(file, delimiter="\\t" if ".tsv" in name else ",", strict=True)
        for row in table:
            rows += 1
            for column in row:
                digest.update(json.dumps([column, row[column]], ensure_ascii=False, separators=(",", ":")).encode())
    print(name, rows, digest.hexdigest())
`;

async function summaryOfPython(paths: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: ["-c", SUMMARY, ...paths],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim().split("\n");
}

async function summary(path: string): Promise<string> {
  const digest = createHash("sha256");
  let rows = 0;
  for await (const { fields } of readTable(path)) {
    rows++;
    for (const cell of Object.entries(fields)) digest.update(JSON.stringify(cell));
  }
  return `${path.slice(path.lastIndexOf("/") + 1)} ${rows} ${digest.digest("hex")}`;
}

testUnless(NO_PYTHON, "readTable() reads invented tables as Python does", async () => {
  const stream = new RandomStream(1, "tables");
  const pieces = ["", "a", "é🙂", '"', '""', ",", "\n", "\r\n", "\t", " ", "'", "1.5", "\u2028"];
  let draws = 0;
  const below = (bound: number) => Math.floor(bound * stream.uniform(draws++));
  const cell = () => Array.from({ length: below(4) }, () => pieces[below(pieces.length)]).join("");
  const rows = Array.from({ length: 300 }, () => [cell(), cell(), cell()]);
  const quoted = (text: string) =>
    /[",\r\n\t]/.test(text) || text === "" ? `"${text.replaceAll('"', '""')}"` : text;
  const separated = (separator: string, newline: string) =>
    [["x", "y", "z"], ...rows].map((row) => row.map(quoted).join(separator) + newline).join("");
  const objects = rows.map(([x, y, z]) => ({ x, y, z: [z, { n: null, t: true }] }));
  const files = {
    "unix.csv": separated(",", "\n"),
    "windows.csv": `\uFEFF${separated(",", "\r\n")}`,
    "unix.tsv": separated("\t", "\n"),
    "rows.jsonl": objects.map((row) => `${JSON.stringify(row)}\n`).join("\n"),
    "rows.json": JSON.stringify(objects, null, 1),
  };
  const folder = await Deno.makeTempDir();
  try {
    const plain = Object.entries(files).map(([name, text]) => {
      Deno.writeTextFileSync(`${folder}/${name}`, text);
      return `${folder}/${name}`;
    });
    const pack = "import bz2, gzip, sys\n" +
      "for path in sys.argv[1:]:\n  data = open(path, 'rb').read(); half = len(data) // 2\n" +
      "  for name, c in (('gz', gzip.compress), ('bz2', bz2.compress)):\n" +
      "    open(path + '.' + name, 'wb').write(c(data[:half]) + c(data[half:]))";
    const { code } = await new Deno.Command(python ?? "", { args: ["-c", pack, ...plain] })
      .output();
    assert.equal(code, 0);
    const paths = plain.flatMap((path) => [path, `${path}.gz`, `${path}.bz2`]);
    const expected = await summaryOfPython(paths);
    assert.equal(expected.length, 15);
    assert.ok(expected.every((line) => / 300 /.test(line)));
    assert.deepEqual(await Promise.all(paths.map(summary)), expected);
    const packed = Deno.readFileSync(`${folder}/unix.csv.bz2`);
    Deno.writeFileSync(`${folder}/part.csv.bz2`, packed.subarray(0, -20));
    await assert.rejects(summary(`${folder}/part.csv.bz2`), /not a whole bzip2 file/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

testUnless(NO_TEST_DATA ?? NO_PYTHON, "readTable() reads MMLU as Python does", async () => {
  const paths = ["dev", "test"].map((split) => {
    const folder = `${TEST_DATA}/eval/mmlu/${split}`;
    return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`).sort();
  });
  const [dev, test] = await Promise.all(paths.map((list) => Promise.all(list.map(summary))));
  assert.ok(dev !== undefined && test !== undefined);
  assert.deepEqual([dev.length, test.length], [57, 57]);
  assert.deepEqual([countRows(dev), countRows(test)], [285, 14_042]);
  assert.deepEqual([...dev, ...test], await summaryOfPython(paths.flat()));
});

testUnless(NO_TEST_DATA ?? NO_PYTHON, "readTable() reads instructions as Python does", async () => {
  const tasks = [...Deno.readDirSync(`${TEST_DATA}/eval/llm-adapters`)].map(({ name }) =>
    `${TEST_DATA}/eval/llm-adapters/${name}/test.json`
  );
  const paths = [
    "instruct/alpaca-2000.json",
    "instruct/seed_tasks.jsonl",
    "instruct/math-data.json",
    "eval/mmlu/zero_shot_val.jsonl",
    "eval/gsm8k/test.jsonl",
  ].map((name) => `${TEST_DATA}/${name}`).concat(tasks.sort());
  const expected = await summaryOfPython(paths);
  assert.deepEqual(expected.slice(0, 2).map((line) => line.split(" ").slice(0, 2).join(" ")), [
    "alpaca-2000.json 2000",
    "seed_tasks.jsonl 175",
  ]);
  const found: string[] = [];
  for (const path of paths) found.push(await summary(path));
  assert.deepEqual(found, expected);
});

function countRows(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Number(line.split(" ")[1]), 0);
}
