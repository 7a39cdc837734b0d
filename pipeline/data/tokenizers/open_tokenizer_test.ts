import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { Tokenizer } from "../tokenizer.ts";
import { BYTE_CHARACTERS } from "./byte_characters.ts";
import { isTiktoken } from "./tiktoken.ts";

async function inFolder(
  files: Readonly<Record<string, string | object>>,
  test: (folder: string) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      await Deno.writeTextFile(join(folder, name), text);
    }
    test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function refuses(folder: string, message: RegExp): void {
  assert.throws(
    () => Tokenizer.open(folder),
    (error) => error instanceof UserError && message.test(error.message),
  );
}

/** All bytes, and the words "ab" and " ab". */
const VOCABULARY = Object.fromEntries(
  [...BYTE_CHARACTERS, "ab", "\u0120ab", "<|endoftext|>"].map((token, id) => [token, id]),
);
const MERGES = "#version: 0.2\r\na b\r\n\u0120 ab\r\n";

Deno.test("openTokenizer() names all files that it looked for", async () => {
  await inFolder({}, (folder) => {
    refuses(
      folder,
      /no tokenizer \(looked for tokenizer\.json, tokenizer\.model, original\/tokenizer\.model, tokenizer\.tiktoken, \*\.tiktoken, vocab\.json with merges\.txt, encoder\.json with vocab\.bpe\)/,
    );
  });
  refuses("/nowhere/at/all", /looked for/);
});

Deno.test("openTokenizer() reads GPT-2's two files, and misses neither in silence", async () => {
  await inFolder({ "vocab.json": VOCABULARY, "merges.txt": MERGES }, (folder) => {
    const tokenizer = Tokenizer.open(folder);
    assert.deepEqual([...tokenizer.encode("ab ab<|endoftext|>")], [256, 257, 258]);
    assert.deepEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.addsBos], [258, 258, false]);
    const text = "\ufeff\u{1f999} ab\0";
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  });
  const config = { add_bos_token: true, add_prefix_space: true };
  await inFolder({
    "vocab.json": VOCABULARY,
    "merges.txt": MERGES,
    "tokenizer_config.json": config,
    "added_tokens.json": { "<pad>": 259 },
    "special_tokens_map.json": { pad_token: "<pad>" },
  }, (folder) => {
    const tokenizer = Tokenizer.open(folder);
    assert.deepEqual([...tokenizer.encode("ab<pad>")], [258, 257, 259]);
    assert.equal(tokenizer.padId, 259);
    assert.equal(tokenizer.addsBos, true);
  });
  await inFolder({ "vocab.json": VOCABULARY }, (folder) => {
    refuses(folder, /there is vocab.json but no merges.txt/);
  });
  await inFolder({ "vocab.bpe": MERGES }, (folder) => {
    refuses(folder, /there is vocab.bpe but no encoder.json/);
  });
  await inFolder({ "vocab.json": VOCABULARY, "merges.txt": "a zz\n" }, (folder) => {
    refuses(folder, /merge 1 joins "a" and "zz", but "zz" is not in the vocabulary/);
  });
  await inFolder({ "vocab.json": VOCABULARY, "merges.txt": "", "added_tokens.json": { a: "b" } }, (
    folder,
  ) => refuses(folder, /added_tokens.json: "a" has the id "b"/));
});

Deno.test("openTokenizer() tells a tiktoken file from a SentencePiece model by its content", async () => {
  assert.equal(isTiktoken(new TextEncoder().encode("IQ== 0\nIg== 1\n")), true);
  assert.equal(isTiktoken(new TextEncoder().encode("\n\x0e\n\x05<unk>")), false);
  assert.equal(isTiktoken(new Uint8Array()), false);
  await inFolder({ "tokenizer.model": "IQ== 0\nIg== 1\n" }, (folder) => {
    refuses(folder, /tokenizer.model: a tiktoken file of 2 tokens.*known are Llama 3 \(128000\)/);
  });
  await inFolder({ "qwen.tiktoken": "IQ== 0\n!! 1\n" }, (folder) => {
    refuses(folder, /qwen.tiktoken:2: "!! 1" is not a token in base64 and its rank/);
  });
  await inFolder({ "tokenizer.model": "no model" }, (folder) => {
    refuses(folder, /tokenizer.model: not a SentencePiece model, or a damaged one/);
  });
});
