import assert from "node:assert/strict";
import { join } from "node:path";
import type { Table } from "./table.ts";
import { differenceFrom, formatTable, toTerminal } from "./table_formats.ts";

const TABLE: Table = {
  title: "Forms & bits",
  rowTitles: ["form", "rank"],
  columns: [
    { title: "bits 4", values: { "base.bits": "4" }, metric: "quality.tuned.perplexity" },
    { title: "bits 2", values: { "base.bits": "2" }, metric: "quality.tuned.perplexity" },
  ],
  rows: [
    {
      labels: ["qa_lora", "8"],
      entries: [{ mean: 12, deviation: 2.5, count: 2 }, null],
    },
    {
      labels: ["lora|x", "16"],
      entries: [
        { mean: 9.25, deviation: null, count: 1 },
        { mean: Infinity, deviation: null, count: 1 },
      ],
    },
  ],
  notes: ["Mean ± standard deviation over seed.", "--: cell 3 failed (100% NaN)."],
};

Deno.test("a table in Markdown", () => {
  assert.equal(
    formatTable(TABLE, "md"),
    `**Forms & bits**

| form | rank | bits 4 | bits 2 |
| :--- | :--- | ---: | ---: |
| qa_lora | 8 | 12.000 ± 2.500 | -- |
| lora\\|x | 16 | 9.250 | inf |

Mean ± standard deviation over seed.

--: cell 3 failed (100% NaN).
`,
  );
});

Deno.test("a table in LaTeX", () => {
  assert.equal(
    formatTable(TABLE, "tex"),
    String.raw`\begin{table}
\centering
\caption{Forms \& bits}
\begin{tabular}{llrr}
\toprule
form & rank & bits 4 & bits 2 \\
\midrule
qa\_lora & 8 & 12.000\,$\pm$\,2.500 & -- \\
lora|x & 16 & 9.250 & inf \\
\bottomrule
\end{tabular}
\par\footnotesize Mean $\pm$ standard deviation over seed.
\par\footnotesize --: cell 3 failed (100\% NaN).
\end{table}
`,
  );
});

Deno.test("a table in CSV has full numbers, and the columns of an average", () => {
  assert.equal(
    formatTable(TABLE, "csv"),
    `form,rank,bits 4,"bits 4, standard deviation","bits 4, count",bits 2,"bits 2, standard deviation","bits 2, count"
qa_lora,8,12,2.5,2,,,0
lora|x,16,9.25,,1,Infinity,,1
`,
  );
  const single: Table = {
    ...TABLE,
    rowTitles: ["form"],
    columns: TABLE.columns.slice(0, 1),
    rows: [{ labels: ['"a", b'], entries: [{ mean: 1 / 3, deviation: null, count: 1 }] }],
  };
  assert.equal(formatTable(single, "csv"), `form,bits 4\n"""a"", b",0.3333333333333333\n`);
});

Deno.test("standard errors are shown behind their numbers, and have a column of their own in CSV", () => {
  const entry = (mean: number) => ({ mean, deviation: null, count: 1, standardError: 0.25 });
  const table: Table = {
    ...TABLE,
    rows: [{ labels: ["lora", "8"], entries: [entry(12), null] }],
  };
  assert.match(formatTable(table, "md"), /\| 12\.00 ± 0\.25 \| -- \|/);
  assert.match(formatTable(table, "tex"), /12\.00\\,\$\\pm\$\\,0\.25/);
  assert.equal(
    formatTable(table, "csv"),
    'form,rank,bits 4,"bits 4, standard error",bits 2,"bits 2, standard error"\n' +
      "lora,8,12,0.25,,\n",
  );
  assert.equal(JSON.parse(formatTable(table, "json")).entries[0].standardError, 0.25);
});

Deno.test("a table in JSON has one record for each number", () => {
  const { entries, title, notes } = JSON.parse(formatTable(TABLE, "json"));
  assert.equal(title, TABLE.title);
  assert.deepEqual(notes, TABLE.notes);
  assert.equal(entries.length, 4);
  assert.deepEqual(entries[0], {
    row: { form: "qa_lora", rank: "8" },
    column: { "base.bits": "4" },
    metric: "quality.tuned.perplexity",
    mean: 12,
    standardDeviation: 2.5,
    standardError: null,
    count: 2,
  });
  assert.deepEqual([entries[1].mean, entries[1].count], [null, 0]);
  assert.equal(entries[3].mean, "Infinity");
});

Deno.test("a table for the terminal is aligned, numbers to the right", () => {
  assert.equal(
    toTerminal(TABLE, false),
    `Forms & bits
form     rank          bits 4  bits 2
─────────────────────────────────────
qa_lora  8     12.000 ± 2.500      --
lora|x   16             9.250     inf
Mean ± standard deviation over seed.
--: cell 3 failed (100% NaN).
`,
  );
});

Deno.test("the best number of a column is bold, if its direction is known", () => {
  const bold = (metric: string) => {
    const columns = TABLE.columns.map((column) => ({ ...column, metric }));
    const lines = toTerminal({ ...TABLE, columns }, true).split("\n");
    return lines.flatMap((line, index) => line.includes("\x1b[1m") ? index : []);
  };
  // Line 0 is the title; rows are lines 3 and 4.
  assert.deepEqual(bold("quality.tuned.perplexity"), [0, 4]);
  assert.deepEqual(bold("quality.tuned.accuracy"), [0, 3, 4]);
  assert.deepEqual(bold("tuned.parameters"), [0]);
});

Deno.test("a deviation too small for the decimals is shown all the same", () => {
  const rows = [0, 0.00031].map((deviation) => ({
    labels: [],
    entries: [{ mean: 5.25, deviation, count: 2 }],
  }));
  const table = { ...TABLE, title: null, rowTitles: [], rows, notes: [] };
  const text = formatTable({ ...table, columns: TABLE.columns.slice(0, 1) }, "md");
  assert.deepEqual(text.split("\n").slice(2, -1), ["| 5.250 ± 0.000 |", "| 5.250 ± 3.10e-4 |"]);
});

Deno.test("numbers of one metric have the decimals that the smallest needs", () => {
  const show = (...means: number[]) => {
    const rows = means.map((mean) => ({
      labels: [],
      entries: [{ mean, deviation: null, count: 1 }],
    }));
    const table = { ...TABLE, title: null, rowTitles: [], rows, notes: [] };
    const columns = TABLE.columns.slice(0, 1);
    return formatTable({ ...table, columns }, "md").split("\n").slice(2, -1)
      .map((line) => line.slice(2, -2));
  };
  assert.deepEqual(show(0.51234, 0.6), ["0.5123", "0.6000"]);
  assert.deepEqual(show(9.12345, 5021.3), ["9.123", "5021.300"]);
  assert.deepEqual(show(12.3456, 99), ["12.35", "99.00"]);
  assert.deepEqual(show(123.456), ["123.5"]);
  assert.deepEqual(show(131072, 64), ["131072", "64"]);
  assert.deepEqual(show(9.5, 1234567.8), ["9.500", "1.23e+6"]);
  assert.deepEqual(show(NaN, -0.25), ["NaN", "-0.2500"]);
  assert.deepEqual(show(3e-6, 0, -2.5e-7), ["3.00e-6", "0.0", "-2.50e-7"]);
  assert.deepEqual(show(6e-5, 12.5), ["6.00e-5", "12.50"]);
  assert.deepEqual(show(0.0002, 0.3), ["0.0002", "0.3000"]);
  assert.deepEqual(show(123456.5, 234567), ["123457", "234567"], "averaged counts");
  assert.deepEqual(show(131072, 2.5), ["131072", "2.500"], "a count among numbers");
  assert.deepEqual(show(2e15 + 0.5, 1e300), ["2.00e+15", "1.00e+300"], "diverged");
});

Deno.test("differenceFrom() names the first line that differs", async () => {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "table.md");
  try {
    assert.equal(differenceFrom("a\n", file), `There is no ${file} to compare with`);
    await Deno.writeTextFile(file, "a\nb\nc\n");
    assert.equal(differenceFrom("a\nb\nc\n", file), null);
    assert.equal(
      differenceFrom("a\nx\nc\n", file),
      `${file}:2: differs from the results\n- b\n+ x`,
    );
    assert.match(differenceFrom("a\nb\nc\nd\n", file) ?? "", /:4: .*\n- \n\+ d$/);
    assert.match(differenceFrom("a\nb", file) ?? "", /:3: .*\n- c\n\+ \(end\)$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
