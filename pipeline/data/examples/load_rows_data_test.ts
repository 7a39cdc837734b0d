import assert from "node:assert/strict";
import { UserError } from "../../errors.ts";
import { trainByteLevelBpe } from "../byte_level_bpe.ts";
import { loadDataset } from "../load_dataset.ts";
import { resolveSource } from "../source.ts";
import { Tokenizer } from "../tokenizer.ts";
import type { RowExamples } from "./row_examples.ts";
import { ROWS_DATA } from "./rows_data.ts";

/** Bytes: BOS is 0, EOS 1, and a character c is its code less 31, from "!" at 2. */
function byteTokenizer(): Tokenizer {
  const { tokenizer, config } = trainByteLevelBpe([], { vocabSize: 258 });
  return new Tokenizer(tokenizer, config);
}

const CHAT = "{% for m in messages %}{{ m.role[0] }}>{{ m.content }}{{ eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}a>{% endif %}";

interface LoadOptions {
  readonly data?: object;
  readonly length?: number;
  readonly name?: string;
  readonly tokenizer?: Tokenizer;
}

/** Loads rows of a file; the model folder has the chat template {@linkcode CHAT}. */
async function load(
  rows: readonly object[] | string,
  { data = {}, length = 1000, name = "rows.jsonl", tokenizer = byteTokenizer() }: LoadOptions = {},
): Promise<RowExamples> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/${name}`,
      typeof rows === "string" ? rows : rows.map((row) => JSON.stringify(row)).join("\n"),
    );
    const { config } = trainByteLevelBpe([], { vocabSize: 258 });
    await Deno.writeTextFile(
      `${folder}/tokenizer_config.json`,
      JSON.stringify({ ...config, chat_template: CHAT }),
    );
    const parsed = ROWS_DATA.parse({ rows: name, ...data });
    const resolve = (reference: string) => Promise.resolve([`${folder}/${reference}`]);
    return await loadDataset(parsed, tokenizer, { length, folder }, resolve) as RowExamples;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message.replaceAll(`${folder}/`, ""));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Text with ⟦ ⟧ around targets, ^ for BOS and $ for EOS. */
function shown(dataset: RowExamples, tokenizer = byteTokenizer()): string[] {
  return Array.from({ length: dataset.size }, (_, index) => {
    const { tokens, targets } = dataset.example(index);
    const runs: { learned: boolean; ids: number[] }[] = [];
    tokens.forEach((id, position) => {
      const learned = targets[position] === 1;
      if (runs.at(-1)?.learned !== learned) runs.push({ learned, ids: [] });
      runs.at(-1)?.ids.push(id);
    });
    return runs.map(({ learned, ids }) => {
      const text = ids.map((id) => id === 0 ? "^" : id === 1 ? "$" : tokenizer.decode([id])).join(
        "",
      );
      return learned ? `⟦${text}⟧` : text;
    }).join("");
  });
}

async function refuses(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

const TURNS = [
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Ho" },
  { role: "user", content: "1" },
  { role: "assistant", content: "2" },
];

Deno.test("loadDataset() learns completions, texts and turns, each with its end", async () => {
  assert.deepEqual(shown(await load([{ prompt: "a b", completion: " c" }])), ["^a b⟦ c$⟧"]);
  assert.deepEqual(shown(await load([{ text: "a b" }], { data: { eos: false } })), ["^⟦a b⟧"]);
  const [every, last, all] = await Promise.all(
    ["completions", "last", "all"].map((learn) => load([{ messages: TURNS }], { data: { learn } })),
  );
  assert.deepEqual(shown(every as RowExamples), ["u>Hi$a>⟦Ho$⟧u>1$a>⟦2$⟧"]);
  assert.deepEqual(shown(last as RowExamples), ["u>Hi$a>Ho$u>1$a>⟦2$⟧"]);
  assert.deepEqual(shown(all as RowExamples), ["u⟦>Hi$a>Ho$u>1$a>2$⟧"]);
  assert.deepEqual(
    shown(await load([{ prompt: "a", completion: "b" }], { data: { learn: "all" } })),
    ["^⟦ab$⟧"],
  );
});

Deno.test("loadDataset() gives every format the template that is asked for", async () => {
  const row = { instruction: "Add.", input: "1 1", output: "2" };
  const intro = "Below is an instruction that describes a task";
  const request = "Write a response that appropriately completes the request.";
  const paired = `${intro}, paired with an input that provides further context. ${request}`;
  const alpaca = `^${paired}\n\n### Instruction:\nAdd.\n\n### Input:\n1 1\n\n### Response:`;
  assert.deepEqual(shown(await load([row])), [`${alpaca}⟦2$⟧`]);
  assert.deepEqual(
    shown(await load([{ ...row, input: "" }], { data: { template: "alpaca-qlora" } })),
    [`^${intro}. ${request}\n\n### Instruction:\nAdd.\n\n### Response: ⟦2$⟧`],
  );
  assert.deepEqual(
    shown(await load([row], { data: { template: "alpaca-lora" } })),
    [`${alpaca}\n⟦2$⟧`],
  );
  const indent = " ".repeat(16);
  assert.deepEqual(shown(await load([{ ...row, input: "", answer: "2" }])), [
    `^${intro}. ${request}  \n\n${indent}### Instruction:\n${indent}Add.\n\n` +
    `${indent}### Response:\n${indent}⟦2$⟧`,
  ]);
  assert.deepEqual(shown(await load([row], { data: { template: "chat" } })), [
    "u>Add.\n\n1 1$a>⟦2$⟧",
  ]);
  const own = { template: { chat: "{% for m in messages %}[{{ m.content }}{% endfor %}" } };
  assert.deepEqual(shown(await load([{ prompt: "a", completion: "b" }], { data: own })), [
    "[a⟦[b$⟧",
  ]);
  await refuses(load([{ text: "a" }], { data: own }), /a text,.*a chat template does not apply/);
  await refuses(
    load([{ messages: TURNS }], { data: { template: "alpaca" } }),
    /conversations, to which template: alpaca does not apply/,
  );
});

Deno.test("loadDataset() takes the user's own prompts and names of columns", async () => {
  const rows = 'q,"a, b"\n 1?,x#### 2\n';
  const data = {
    prompt: "Q: {{ q | trim }}\nA:\n",
    completion: "{{ row['a, b'] | replace('####', ':') }}{{ row.none }}",
  };
  assert.deepEqual(shown(await load(rows, { data, name: "rows.csv" })), ["^Q: 1?\nA:\n⟦x: 2$⟧"]);
  assert.deepEqual(
    shown(
      await load([{ q: "a", a: "b" }], { data: { columns: { prompt: "q", completion: "a" } } }),
    ),
    ["^a⟦b$⟧"],
  );
  await refuses(
    load([{ a: "x" }], { data: { prompt: "{{ q }}", completion: "{{ a }}" } }),
    /^rows\.jsonl:1: the template of the prompt reads q, but the row has only a; correct it, or/,
  );
});

Deno.test("loadDataset() cuts prompts and completions on their own, as QLoRA does", async () => {
  const data = { prompt_length: 3, completion_length: 4 };
  const rows = [
    { prompt: "abcd", completion: "efgh" },
    { prompt: "a", completion: "bc" },
  ];
  const dataset = await load(rows, { data });
  assert.deepEqual(shown(dataset), ["^ab⟦efgh⟧", "^a⟦bc$⟧"]);
  assert.deepEqual(dataset.remarks.length, 1);
  assert.match(
    dataset.remarks[0] ?? "",
    /^1 of 2 rows were cut to 3 tokens of prompt and 4 tokens of completion \(.*rows\.jsonl:1\)$/,
  );
});

Deno.test("loadDataset() counts and names rows that are too long", async () => {
  const rows = [
    { prompt: "a", completion: "bcdef" },
    { prompt: "a", completion: "b" },
    { prompt: "abcdef", completion: "g" },
  ];
  const options = (on_long_row: string, on_bad_row = "skip") => ({
    data: { on_long_row, on_bad_row },
    length: 5,
  });
  const cut = await load(rows, options("cut"));
  assert.deepEqual(shown(cut), ["^a⟦bcd⟧", "^a⟦b$⟧"]);
  assert.match(
    cut.remarks.join("\n"),
    /1 of 3 rows were skipped: the prompt takes all 5 .*jsonl:3\)/,
  );
  assert.match(cut.remarks.join("\n"), /1 of 3 rows were cut to 5 tokens \(.*jsonl:1\)/);
  const skipped = await load(rows, options("skip"));
  assert.deepEqual(shown(skipped), ["^a⟦b$⟧"]);
  assert.match(
    skipped.remarks.join(),
    /^2 of 3 rows were longer than 5 tokens and skipped \(.*1,.*3\)$/,
  );
  await refuses(
    load(rows, options("error")),
    /jsonl:1: the row has 8 tokens, but there is room for only 5 tokens.*on_long_row: cut or/,
  );
  await refuses(load(rows, options("cut", "error")), /jsonl:3: the prompt takes all 5 tokens/);
});

Deno.test("loadDataset() refuses or counts turns that the model would not learn to end", async () => {
  const open = {
    template: { chat: CHAT.replace("{{ eos_token }}", "\n") },
    on_bad_row: "skip",
  };
  const rows = [{ messages: TURNS }, { messages: TURNS.slice(0, 2) }];
  const dataset = await load(rows, { data: open });
  // The end of the last turn is the end of the row.
  assert.deepEqual(shown(dataset), ["u>Hi\na>⟦Ho\n$⟧"]);
  assert.match(
    dataset.remarks.join(),
    /^1 of 2 rows were skipped: what is learned in turn 1 does not end .*rows\.jsonl:1\)$/,
  );
  await refuses(
    load(rows, { data: { ...open, on_bad_row: "error" } }),
    /jsonl:1: .*turn 1 does not/,
  );
  // The end of the turn is there, but it is not learned.
  const marks = "{% for m in messages %}{{ m.role[0] }}>{% generation %}{{ m.content }}" +
    "{% endgeneration %}{{ eos_token }}{% endfor %}";
  const single = [{ messages: TURNS.slice(1, 2) }];
  await refuses(
    load(single, { data: { template: { chat: marks } } }),
    /jsonl:1: .*turn 1 does not end .* put the <\|end\|> that follows into \{% generation %\}/,
  );
  assert.deepEqual(
    shown(await load(single, { data: { template: { chat: marks }, eos: false } })),
    ["a>⟦Ho⟧"],
  );
  const careless = await load(rows, { data: { ...open, eos: false } });
  assert.deepEqual(shown(careless), ["u>Hi\na>⟦Ho\n⟧u>1\na>⟦2\n⟧", "u>Hi\na>⟦Ho\n⟧"]);
});

Deno.test("loadDataset() stops reading at the limit, and names each faulty row once", async () => {
  const rows = ["{", "[]", "{}", { text: "" }, { text: "a" }, { text: 3 }, { text: "b" }]
    .map((row) => typeof row === "string" ? row : JSON.stringify(row)).join("\n");
  const data = { on_bad_row: "skip", format: "text" };
  const dataset = await load(rows, { data });
  assert.deepEqual(shown(dataset), ["^⟦a$⟧", "^⟦b$⟧"]);
  assert.equal(dataset.place(1).replace(/^.*\//, ""), "rows.jsonl:7");
  const places = [...dataset.remarks.join().matchAll(/rows\.jsonl:(\d)/g)].map(([, line]) => line);
  assert.deepEqual(places.sort(), ["1", "2", "3", "4", "6"]);
  const many = Array.from({ length: 9 }, (_, index) => ({ text: index }));
  const { remarks } = await load([...many, ...many, { text: "a" }], { data });
  assert.equal(
    remarks.join().match(/the field "text" is \d; wanted a text \(\S+:\d, \S+:\d+\)/g)?.length,
    5,
  );
  assert.match(remarks.join(), /^18 of 19 rows were skipped: .*; 4 other reasons$/);
  const first = await load(rows, { data: { ...data, limit: 1 } });
  assert.deepEqual(shown(first), ["^⟦a$⟧"]);
  await refuses(
    load("{}\n", { data }),
    /nothing to train on: all of its 1 rows were skipped; .*:1\)/,
  );
});

Deno.test("loadDataset() reads several files in order, and asks which of a folder's", async () => {
  const folder = await Deno.makeTempDir();
  const row = (text: string) => JSON.stringify({ text });
  await Deno.mkdir(`${folder}/data`);
  await Deno.writeTextFile(`${folder}/data/train-0.jsonl`, row("a"));
  await Deno.writeTextFile(`${folder}/data/train-1.json`, `[${row("b")}, ${row("c")}]`);
  await Deno.writeTextFile(`${folder}/README.md`, "");
  const read = (rows: string | string[]) =>
    loadDataset(
      ROWS_DATA.parse({ rows }),
      byteTokenizer(),
      { length: 9 },
      (reference) => resolveSource(reference, folder),
    ) as Promise<RowExamples>;
  try {
    assert.deepEqual(shown(await read("data/*")), ["^⟦a$⟧", "^⟦b$⟧", "^⟦c$⟧"]);
    assert.deepEqual(shown(await read(["data/train-1.json", "data/train-0.jsonl"])), [
      "^⟦b$⟧",
      "^⟦c$⟧",
      "^⟦a$⟧",
    ]);
    await refuses(
      read("."),
      /^"\." is a folder; name .* \.\/data\/train-0\.jsonl\. It has data\/train-0\.jsonl, data\/tr/,
    );
    await Deno.remove(`${folder}/data`, { recursive: true });
    await refuses(read("."), /is a folder without any table/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ROWS_DATA names every mistake at its place", () => {
  const faults = (data: object): string[] =>
    ROWS_DATA.safeParse({ rows: "x", ...data }).error?.issues
      .map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
  assert.deepEqual(faults({}), []);
  assert.match(faults({ prompt: "{{ x" }).join(), /^prompt: not a Jinja template/);
  assert.equal(faults({ prompt: "{{ x", completion: "{% if", prompt_length: 0 }).length, 3);
  const combined = faults({
    prompt: "a",
    prompt_length: 3,
    template: "chat",
  });
  assert.deepEqual(combined.map((fault) => fault.split(":")[0]), ["prompt", "prompt_length"]);
  assert.deepEqual(
    faults({ completion: "a", format: "text", columns: { a: "b" } }).map((fault) =>
      fault.split(":")[0]
    ),
    ["format", "columns"],
  );
});
