/**
 * Every protocol on rows of invented texts, with a tokenizer of one token for each character.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { testUnless } from "../../../tests/support/optional.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { findPython } from "../../environment/oracles.ts";
import { drawnWindows, gptq } from "./gptq.ts";
import { lmEval } from "./lm_eval.ts";
import type { ProtocolInput, RowProtocol, ScoringPlan } from "./protocol.ts";
import { runClm } from "./run_clm.ts";

const BOS = 1;

/** Code units as ids, after BOS where special tokens are asked for. */
const characters = {
  bosId: BOS,
  eosId: null,
  encode: (text: string) => Uint32Array.of(BOS, ...codes(text)),
  encodeWithoutSpecialTokens: (text: string) => Uint32Array.from(codes(text)),
} as unknown as Tokenizer;

function codes(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}

/** Tokens as text, "^" for BOS. */
function shown(plan: ScoringPlan): string[] {
  return plan.rows.map(({ tokens }) =>
    Array.from(tokens, (id) => id === BOS ? "^" : String.fromCharCode(id)).join("")
  );
}

/** Applies a protocol to a file. */
async function planOf(
  protocol: RowProtocol,
  file: string,
  content: string | Uint8Array,
  input: Partial<ProtocolInput> & { readonly column?: string; readonly skip?: boolean },
): Promise<ScoringPlan> {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const path = join(folder, file);
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(path, bytes);
    return await protocol.plan({
      data: { rows: file, column: input.column, on_bad_row: input.skip ? "skip" : "error" },
      tokenizer: characters,
      window: 4,
      selection: "wikitext2",
      addBosToken: true,
      resolve: () => Promise.resolve([path]),
      ...input,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("gptq: rows with their newlines joined by empty lines, one BOS, the tail dropped", async () => {
  const plan = await planOf(gptq, "wiki.raw", "ab\n \ncd\n", {});
  // "ab\n" + "" + "cd\n": 11 tokens with BOS, two windows of four.
  assert.deepEqual(shown(plan), ["^ab\n", "\n\n\n\n"]);
  assert.equal(plan.name, "gptq-4");
  assert(plan.rows.every(({ targets }) => targets.join() === "0,1,1,1"));
  // Invariant: what is shorter than a window changes nothing.
  const longer = await planOf(gptq, "wiki.raw", "ab\n \ncd\n\ne", {});
  assert.deepEqual(shown(longer).slice(0, 2), shown(plan));
});

Deno.test("gptq: tables have rows as they are; a uniform model over V tokens has perplexity V", async () => {
  const rows = ["ab\n", "", "cd\n"].map((text) => JSON.stringify({ text })).join("\n");
  const plan = await planOf(gptq, "wiki.jsonl", rows, {});
  assert.deepEqual(shown(plan), ["^ab\n", "\n\n\n\n"]);
  const { perplexity, tokens, windows } = plan.measure(
    plan.rows.map(() => [1, 1, 1].map(() => Math.log(2048))),
  );
  assert(Math.abs((perplexity?.value ?? 0) - 2048) < 1e-9);
  assert.deepEqual([tokens?.value, windows?.value], [2 * 3, 2]);
});

Deno.test("gptq: rows of a Parquet file, as the Hub has them", async () => {
  const data = ["ab\n", "", "cd\n"];
  const parquet = parquetWriteBuffer({ columnData: [{ name: "text", data, type: "STRING" }] });
  const plan = await planOf(gptq, "test-00000-of-00001.parquet", new Uint8Array(parquet), {});
  assert.deepEqual(shown(plan), ["^ab\n", "\n\n\n\n"]);
});

Deno.test("gptq: selections of PTB and C4", async () => {
  const of = (selection: ProtocolInput["selection"], window: number, content: string) =>
    planOf(gptq, "rows.txt", content, { selection, window });
  const ptb = " a b \n c \n";
  assert.deepEqual(shown(await of("ptb", 7, ptb)), ["^a b\n\nc"]);
  assert.deepEqual(shown(await of("ptb_new", 3, ptb)), ["^a ", "b c"]);
  assert.equal((await of("ptb_new", 3, ptb)).name, "gptq-ptb_new-3");
  // 1100 documents of one character and the spaces between: 2200 tokens with BOS.
  const documents = "x\n".repeat(1200);
  const few = shown(await of("c4_new", 4, documents));
  assert.deepEqual([few.length, few[0]], [256, "^x x"]);
  assert.equal((await of("c4_new", 32, documents)).rows.length, 68);
});

const PYTHON = `
import json, random, sys
lengths, window = json.load(sys.stdin)
random.seed(0)
drawn = []
while len(drawn) < 256:
    document = random.randint(0, len(lengths) - 1)
    if lengths[document] > window:
        drawn.append([document, random.randint(0, lengths[document] - window - 1)])
print(json.dumps(drawn))
`;

const python = await findPython([]);
const missing = python === null ? "no Python" : null;

testUnless(missing, "gptq: windows of C4 are those that Python draws", async () => {
  const lengths = Array.from({ length: 300 }, (_, index) => 3 + 2 * (index * 7 % 20));
  const child = new Deno.Command(python ?? "", {
    args: ["-c", PYTHON],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  await new Blob([JSON.stringify([lengths, 16])]).stream().pipeTo(child.stdin);
  const drawn: [number, number][] = JSON.parse(
    new TextDecoder().decode((await child.output()).stdout),
  );
  // A document whose tokens say which it is and where they are.
  const numbered = {
    encode: (text: string) =>
      Uint32Array.from(
        { length: lengths[Number(text)] ?? 0 },
        (_, position) => 1000 * Number(text) + position,
      ),
  } as unknown as Tokenizer;
  const stream = drawnWindows(lengths.map((_, index) => String(index)), numbered, 16);
  const starts = drawn.map((_, window) => stream[16 * window] ?? NaN);
  // None of the lengths is 16 itself, where the original stops.
  assert(!lengths.includes(16));
  assert.deepEqual(starts, drawn.map(([document, start]) => 1000 * document + start));
  assert.deepEqual(
    [...stream.subarray(0, 16)],
    Array.from({ length: 16 }, (_, position) => (starts[0] ?? 0) + position),
  );
});

Deno.test("gptq: no document of C4 has a window", () => {
  assert.throws(
    () => drawnWindows(["ab", "abc"], characters, 16),
    /None of the 2 documents has 16 tokens, a window/,
  );
});

Deno.test("run_clm: BOS in every row, blocks within 1000 rows", async () => {
  const plan = await planOf(runClm, "wiki.raw", "ab\n \nc\n", {});
  assert.deepEqual(shown(plan), ["^ab\n", "^^c\n"]);
  assert.deepEqual(shown(await planOf(runClm, "wiki.raw", "ab\n \nc\n", { window: 2 })), [
    "^a",
    "b\n",
    "^^",
    "c\n",
  ]);
  // 1000 rows of three tokens are 428 blocks of seven and four tokens left over, not to be joined with
  // those of row 1001.
  const many = await planOf(runClm, "many.txt", "x\n".repeat(1001), { window: 7 });
  assert.equal(many.rows.length, 428);
  assert.equal(plan.name, "run_clm-4");
});

Deno.test("lm_eval: pages after BOS, words and bytes of the original", async () => {
  const text = " = A = \n x @-@ y \n = B = \n z";
  const plan = await planOf(lmEval, "wiki.raw", text, { window: 64 });
  assert.deepEqual(shown(plan), ["^^ = A =\nx-y ", "^^ = B =\nz"]);
  const without = await planOf(lmEval, "wiki.raw", text, { window: 64, addBosToken: false });
  assert.deepEqual(shown(without).map((row) => row.slice(0, 3)), ["^ =", "^ ="]);
  assert.deepEqual([plan.name, without.name], ["lm_eval-64", "lm_eval-64-no_bos"]);
  // Invariant: the word perplexity of a uniform model is V^(tokens / words).
  const losses = plan.rows.map(({ targets }) =>
    [...targets].filter((target) => target === 1).map(() => Math.log(50))
  );
  const metrics = plan.measure(losses);
  const tokens = shown(plan).reduce((sum, row) => sum + row.length - 1, 0);
  const [words, bytes] = [8 + 5, text.length - 1];
  assert.deepEqual([metrics.words?.value, metrics.bytes?.value], [words, bytes]);
  assert.deepEqual([metrics.tokens?.value, metrics.windows?.value], [tokens, 2]);
  const close = (found: number | undefined, wanted: number) =>
    assert(Math.abs((found ?? NaN) / wanted - 1) < 1e-12, `${found}, wanted ${wanted}`);
  close(metrics.word_perplexity?.value, 50 ** (tokens / words));
  close(metrics.byte_perplexity?.value, 50 ** (tokens / bytes));
  close(metrics.bits_per_byte?.value, Math.log2(50) * tokens / bytes);
  assert(metrics.word_perplexity?.standardError !== undefined);
});

Deno.test("lm_eval: tables have pages; without BOS and EOS nothing stands before a page", async () => {
  const rows = JSON.stringify({ page: " = A = \n x \n = B = " });
  assert.equal((await planOf(lmEval, "pages.jsonl", rows, { window: 64 })).rows.length, 1);
  const nameless = { ...characters, bosId: null, eosId: null } as unknown as Tokenizer;
  await assert.rejects(
    () => planOf(lmEval, "pages.jsonl", rows, { tokenizer: nameless }),
    /names neither; add bos_token/,
  );
});

Deno.test("rows without text: file and line, or counted", async () => {
  const rows = '{"text": "abcdef"}\n{"text": null}\n{"body": "x"}\nnot json\n';
  const plan = (input: object) => planOf(gptq, "rows.jsonl", rows, input);
  await assert.rejects(
    () => plan({}),
    /rows\.jsonl:2: column "text" is null, not a text; name .* set data\.on_bad_row: skip/,
  );
  await assert.rejects(
    () => plan({ column: "body" }),
    /rows\.jsonl:1: there is no column "body" among text/,
  );
  assert.equal((await plan({ skip: true })).skipped, 3);
  await assert.rejects(
    () => plan({ skip: true, column: "title" }),
    /nothing to score: all of its 4 rows were skipped/,
  );
  await assert.rejects(
    () => planOf(gptq, "rows.txt", "", {}),
    /rows\.txt is empty: there is no row/,
  );
  await assert.rejects(() => planOf(gptq, "rows.jsonl", "", {}), /rows\.jsonl is empty/);
  await assert.rejects(
    () => planOf(gptq, "rows.txt", "ab", { window: 8 }),
    /has 3 tokens, less than one window of 8; set a smaller window, or add rows/,
  );
  await assert.rejects(
    () => planOf(runClm, "rows.txt", "ab", { window: 8 }),
    /has no 8 tokens within 1000 consecutive rows, a block/,
  );
});
