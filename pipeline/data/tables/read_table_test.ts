import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { UserError } from "../../errors.ts";
import { readTable, type ReadTableOptions } from "./read_table.ts";

const ONE = { text: 'a "quoted", text', number: 1, list: [1, { deep: null }] };
const TWO = { text: "two\nlines, é 🙂", number: -2.5, list: [] };

/** `row of what` for every row, or the message of the mistake, without the folder's name. */
async function read(
  name: string,
  content: string | Uint8Array,
  options: ReadTableOptions = {},
): Promise<string> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/${name}`;
  try {
    await Deno.writeFile(
      path,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    );
    const rows = await Array.fromAsync(
      readTable(path, options),
      ({ fields, place }) => `${place} ${JSON.stringify(fields)}`,
    );
    return rows.join(" | ").replaceAll(`${folder}/`, "");
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message.replaceAll(`${folder}/`, "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("readTable() reads JSON lines and names their places", async () => {
  const lines = `\uFEFF${JSON.stringify(ONE)}\r\n\n  \n${JSON.stringify(TWO)}`;
  const expected = `t.jsonl:1 ${JSON.stringify(ONE)} | t.jsonl:4 ${JSON.stringify(TWO)}`;
  assert.equal(await read("t.jsonl", lines), expected);
  assert.equal(await read("T.NDJSON", lines), expected.replaceAll("t.jsonl", "T.NDJSON"));
  assert.equal(await read("t.json", lines), expected.replaceAll("jsonl", "json"));
  assert.equal(await read("t", lines, { format: "jsonl" }), expected.replaceAll(".jsonl", ""));
  // Files are read in pieces, which end within characters.
  const long = JSON.stringify({ text: "aé🙂".repeat(50_000) });
  assert.equal(await read("t.jsonl", `${long}\n${long}`), `t.jsonl:1 ${long} | t.jsonl:2 ${long}`);
});

Deno.test("readTable() reads JSON arrays, bare or as the one array of an object", async () => {
  const expected = `t.json: row 1 ${JSON.stringify(ONE)} | t.json: row 2 ${JSON.stringify(TWO)}`;
  assert.equal(await read("t.json", JSON.stringify([ONE, TWO], null, 2)), expected);
  assert.equal(
    await read("t.json", JSON.stringify({ version: 1, data: [ONE, TWO] })),
    expected,
  );
  assert.match(await read("t.json", '{"a": [], "b": []}'), /the object has several: a, b/);
  assert.match(await read("t.json", '{"a": 1}'), /t\.json: wanted an array of rows.*there is none/);
  assert.match(await read("t.json", '[\n{"a": 1},\n{"a" 2}\n]'), /^t\.json:3: not JSON/);
  assert.match(await read("t.json", '[{"a": 1}, 2]'), /^t\.json: row 2: .* not a JSON object/);
});

Deno.test("readTable() reads CSV: quotes, newlines and numbers of lines", async () => {
  const text = '\uFEFFquestion,answer\r\n"x\r\ny, ""z""",1\r\n\r\n3,\r\n"",é';
  assert.equal(
    await read("t.csv", text),
    't.csv:2 {"question":"x\\r\\ny, \\"z\\"","answer":"1"} | ' +
      't.csv:5 {"question":"3","answer":""} | t.csv:6 {"question":"","answer":"é"}',
  );
  assert.equal(await read("t.tsv", "a\tb\n1,2\t3\n"), 't.tsv:2 {"a":"1,2","b":"3"}');
  assert.match(
    await read("t.csv", 'a,b\n"1\n1",2\n3\n'),
    /^t\.csv:4: the row has 1 columns, but the header has 2/,
  );
  assert.match(await read("t.csv", 'a,b\n1,2\n"3,4\n5,6\n'), /^t\.csv:3: .*nothing ends/);
  assert.match(await read("t.csv", 'a,b\n1,2\n3,4"x\n5,6\n'), /^t\.csv:3: a quote stands inside/);
  assert.match(await read("t.csv", "a,a\n1,2\n"), /^t\.csv:1: .*column "a" twice/);
});

Deno.test("readTable() reads Parquet as JSON values", async () => {
  const columnData = [
    { name: "text", data: ["é", null, "c"], type: "STRING" as const },
    { name: "id", data: [1n, 2n ** 60n, -3n], type: "INT64" as const },
    { name: "when", data: [new Date(0), new Date(1), null], type: "TIMESTAMP" as const },
    { name: "messages", data: [[{ role: "user" }], [], null], type: "JSON" as const },
  ];
  for (const codec of ["UNCOMPRESSED", "SNAPPY"] as const) {
    const bytes = new Uint8Array(
      parquetWriteBuffer({ columnData, codec, rowGroupSize: [2, 1] }),
    );
    const expected = [
      '{"text":"é","id":1,"when":"1970-01-01T00:00:00.000Z","messages":[{"role":"user"}]}',
      '{"text":null,"id":"1152921504606846976","when":"1970-01-01T00:00:00.001Z","messages":[]}',
      '{"text":"c","id":-3,"when":null,"messages":null}',
    ];
    assert.equal(
      await read("t.parquet", bytes),
      expected.map((row, index) => `t.parquet: row ${index + 1} ${row}`).join(" | "),
    );
    assert.match(await read("t.parquet.gz", gzipSync(bytes)), /row 3 .*"id":-3/);
    assert.match(
      await read("t.parquet", bytes.subarray(0, -9)),
      /^t\.parquet: not a readable Parquet file/,
    );
  }
  assert.match(
    await read("t.parquet", "hello, this is text"),
    /t\.parquet: not a readable Parquet/,
  );
});

Deno.test("readTable() reads lists of structures in Parquet", async () => {
  const text = { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" } as const;
  const schema = [
    { name: "root", num_children: 1 },
    { name: "messages", repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", repetition_type: "OPTIONAL", num_children: 2 },
    { name: "role", ...text },
    { name: "content", ...text },
  ] as const;
  const data = [[{ role: "user", content: "é" }, { role: "assistant", content: null }], [], null];
  const columnData = [{ name: "messages", data }];
  const bytes = new Uint8Array(parquetWriteBuffer({ schema: [...schema], columnData }));
  assert.equal(
    await read("t.parquet", bytes),
    data.map((messages, index) => `t.parquet: row ${index + 1} ${JSON.stringify({ messages })}`)
      .join(" | "),
  );
});

Deno.test("readTable() reads compressed tables and refuses parts of them", async () => {
  const lines = Buffer.from(`${JSON.stringify(ONE)}\n`.repeat(500));
  const last = `${JSON.stringify(ONE)}`;
  const packed: [string, Uint8Array][] = [
    ["t.jsonl.gz", Buffer.concat([gzipSync(lines), gzipSync(lines)])],
    ["t.jsonl.zst", Buffer.concat([zstdCompressSync(lines), zstdCompressSync(lines)])],
  ];
  for (const [name, bytes] of packed) {
    const rows = (await read(name, bytes)).split(" | ");
    assert.equal(rows.length, 1000);
    assert.equal(rows.at(-1), `${name}:1000 ${last}`);
    for (const part of [bytes.subarray(0, bytes.length / 2 + 20), bytes.subarray(0, -1)]) {
      assert.match(await read(name, part), /^t\.jsonl\.\w+: not a whole \w+ file/);
    }
    assert.match(await read(name, "{}"), /not a whole \w+ file/);
    assert.match(await read(name, ""), /not a whole \w+ file/);
  }
  assert.match(await read("t.jsonl.bz2", "{}"), /not a whole bzip2 file \(Not bzip data/);
});

Deno.test("readTable() names rows it cannot read, and goes on where it is told to", async () => {
  const mistakes: string[] = [];
  const options = {
    onBadRow: (place: string, message: string) =>
      mistakes.push(`${place.replace(/^.*\//, "")}: ${message}`),
  };
  assert.equal(
    await read("t.jsonl", '{"a":1}\n{"a"\n[2]\n{"a":3}\n', options),
    [
      't.jsonl:1 {"a":1}',
      't.jsonl:4 {"a":3}',
    ].join(" | "),
  );
  assert.equal(
    await read("t.csv", "a\n1\n2,3\n4\n", options),
    't.csv:2 {"a":"1"} | t.csv:4 {"a":"4"}',
  );
  assert.equal(await read("t.json", '[1, {"a":2}]', options), 't.json: row 2 {"a":2}');
  assert.equal(mistakes.length, 4);
  assert.match(mistakes[0] ?? "", /^t\.jsonl:2: not JSON/);
  assert.deepEqual(mistakes.slice(1), [
    "t.jsonl:3: the row is not a JSON object",
    "t.csv:3: the row has 2 columns, but the header has 1",
    "t.json: row 1: the row is not a JSON object",
  ]);
  assert.match(await read("t.jsonl", '{"a":1}\n{"a"\n'), /^t\.jsonl:2: not JSON/);
});

Deno.test("readTable() refuses files that are no tables", async () => {
  const invalid = Uint8Array.of(...new TextEncoder().encode('{"a":1}\n{"b":"'), 0xff, 0x22, 0x7d);
  const invalidCsv = Uint8Array.of(...new TextEncoder().encode("a\n"), 0xff);
  for (const name of ["t.jsonl", "t.json", "t.csv"]) {
    assert.match(
      await read(name, name === "t.csv" ? invalidCsv : invalid),
      /^t\.\w+:2: not UTF-8 text/,
    );
    assert.equal(
      await read(name, ""),
      name === "t.json"
        ? "t.json: not JSON (Unexpected end of JSON input)"
        : `${name} is empty: there is no row in it`,
    );
  }
  assert.match(await read("t.xlsx", ""), /t\.xlsx: the ending.*\.jsonl.*\.parquet.*\.gz/);
  assert.match(
    await read("t", "", { format: "xml" }),
    /no table format "xml"; wanted one of jsonl/,
  );
  await assert.rejects(Array.fromAsync(readTable("/nowhere/t.jsonl")), /Cannot read \/nowhere/);
  const folder = await Deno.makeTempDir({ suffix: ".csv" });
  await assert.rejects(Array.fromAsync(readTable(folder)), /is a folder; name its files/);
  await Deno.remove(folder);
});
