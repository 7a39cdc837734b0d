// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { CountingDevice } from "../../../kernels/counting/device.ts";
import { plainMemory } from "../../../kernels/counting/memory_model.ts";
import { openCpu } from "../../../kernels/cpu/device.ts";
import type { Device } from "../../../kernels/device.ts";
import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import { openWebgpu } from "../../../kernels/webgpu/adapter.ts";
import { trainByteLevelBpe } from "../../data/byte_level_bpe.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { parseConfig } from "../../models/config.ts";
import { generate } from "../../models/generate.ts";
import { type LanguageModel, loadLanguageModel } from "../../models/language_model.ts";
import { RandomModel } from "../../models/random_model.ts";
import { StoppedText } from "./generate_requests.ts";
import { ModelRequests, rehearseRequests } from "./model_requests.ts";
import type { Answer, GenerationRequest } from "./request.ts";
import { scoreTokens } from "./score_tokens.ts";

const WORDS = "one two three four five six seven eight nine ten, and one more.\n";
const files = trainByteLevelBpe([WORDS.repeat(3)], { vocabSize: 290 });
const tokenizer = new Tokenizer(files.tokenizer, files.config);
const CONFIG = parseConfig({
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: tokenizer.vocabSize,
  max_position_embeddings: 48,
}, "test model");

function load(device: Device = new ReferenceDevice()): Promise<LanguageModel> {
  return loadLanguageModel(device, new RandomModel(CONFIG, 5, 0.4));
}

async function collect<Value>(answers: AsyncIterable<Answer<Value>>): Promise<Answer<Value>[]> {
  return (await Array.fromAsync(answers)).sort((left, right) => left.index - right.index);
}

/** Log-probability of the last of some tokens after the others, each by a request of its own. */
async function tokenByToken(model: LanguageModel, ids: readonly number[]): Promise<number[]> {
  const requests = ids.slice(1).map((token, index) => ({
    context: Uint32Array.from(ids.slice(0, index + 1)),
    continuation: Uint32Array.of(token),
  }));
  const scores = await collect(scoreTokens(model, requests));
  return scores.map(({ value }) => value.logProbabilities[0]!);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

Deno.test("a log-likelihood is the sum over the tokens of a continuation", async () => {
  const model = await load();
  const [answer] = await collect(
    new ModelRequests(model, tokenizer).logLikelihoods([
      { context: "one two ", continuation: "three four" },
    ]),
  );
  const ids = [...tokenizer.encode("one two three four")];
  const { length } = tokenizer.encode("one two");
  const each = await tokenByToken(model, ids);
  assert.ok(Math.abs(answer!.value.sum - sum(each.slice(length - 1))) < 1e-9);
  assert.equal(answer!.value.tokens, ids.length - length);
  assert.equal(answer!.truncated, undefined);
});

Deno.test("a continuation is greedy if each of its tokens is the likeliest", async () => {
  const model = await load();
  const contexts = WORDS.trim().split(" ");
  const [likeliest] = [
    await collect(scoreTokens(
      model,
      contexts.map((text) => ({
        context: tokenizer.encode(text),
        continuation: Uint32Array.of(0),
      })),
    )),
  ];
  const requests = contexts.flatMap((context, index) => {
    const text = tokenizer.decode(likeliest[index]!.value.likeliest);
    return [text, " one", `${text} one`].map((continuation) => ({ context, continuation }));
  });
  const answers = await collect(new ModelRequests(model, tokenizer).logLikelihoods(requests));
  let greedy = 0;
  for (const [index, { value }] of answers.entries()) {
    const { context, continuation } = requests[index]!;
    const ids = [...tokenizer.encode(context + continuation)].slice(
      tokenizer.encode(context).length,
    );
    const [first] = likeliest[Math.floor(index / 3)]!.value.likeliest;
    if (ids.length === 1) assert.equal(value.isGreedy, ids[0] === first);
    if (ids[0] !== first) assert.equal(value.isGreedy, false);
    if (value.isGreedy) greedy++;
  }
  assert.ok(greedy > 0 && greedy < answers.length, `${greedy} are greedy`);
});

Deno.test("contexts that are too long lose their left, and say how much", async () => {
  const model = await load();
  const context = WORDS.repeat(9);
  const [answer] = await collect(
    new ModelRequests(model, tokenizer, { maxLength: 20 })
      .logLikelihoods([{ context, continuation: " one two" }]),
  );
  const ids = [...tokenizer.encode(`${context.trimEnd()}\n one two`)];
  const count = answer!.value.tokens;
  // The last 21, of which the last is only predicted.
  const each = await tokenByToken(model, ids.slice(-21));
  assert.ok(Math.abs(answer!.value.sum - sum(each.slice(-count))) < 1e-9);
  assert.equal(answer!.truncated, ids.length - 21);
});

Deno.test("a rolling text is the sum of its windows", async () => {
  const model = await load();
  const long = WORDS.repeat(4);
  const answers = await collect(
    new ModelRequests(model, tokenizer, { maxLength: 30, bos: "none" })
      .rollingLogLikelihoods(["one", long, ""]),
  );
  const ids = [...tokenizer.encodeWithoutSpecialTokens(long)];
  assert.ok(ids.length > 60);
  let expected = 0;
  for (let start = 0; start < ids.length; start += 30) {
    const end = Math.min(start + 30, ids.length);
    const window = start === 0
      ? [tokenizer.bosId!, ...ids.slice(0, end)]
      : ids.slice(end - 31, end);
    expected += sum((await tokenByToken(model, window)).slice(start - end));
  }
  assert.deepEqual(answers.map(({ value }) => value.tokens), [
    tokenizer.encodeWithoutSpecialTokens("one").length,
    ids.length,
    0,
  ]);
  assert.ok(Math.abs(answers[1]!.value.sum - expected) < 1e-9);
  assert.equal(answers[2]!.value.sum, 0);
});

Deno.test("requests that cannot be scored are named", async () => {
  const requests = new ModelRequests(await load(), tokenizer, { maxLength: 8 });
  const scored = (continuation: string) =>
    collect(requests.logLikelihoods([
      { context: "one", continuation: " two" },
      { context: "one", continuation },
    ]));
  await assert.rejects(scored(""), (error) => {
    assert.ok(error instanceof UserError);
    return /^Request 1 has an empty continuation/.test(error.message);
  });
  await assert.rejects(scored(WORDS), /^UserError: Request 1 has a continuation of \d+ tokens/);
  await assert.rejects(
    async () => new ModelRequests(await load(), tokenizer, { maxLength: 49 }),
    /49 tokens, but the model has 48 positions/,
  );
});

Deno.test("texts end at the first stop text, cut in the order in which they are given", () => {
  const ids = [...tokenizer.encodeWithoutSpecialTokens("one two three four")];
  const cut = (...until: string[]) => new StoppedText(tokenizer, until).finish(ids);
  assert.equal(cut(), "one two three four");
  assert.equal(cut("", "nine"), "one two three four");
  assert.equal(cut(" three", "two"), "one ");
  assert.equal(cut("two", " three"), "one ");
  // "wo" takes the place in which " two" would be found, if it comes first.
  const two = [...tokenizer.encodeWithoutSpecialTokens(" two")];
  const cutTwo = (...until: string[]) => new StoppedText(tokenizer, until).finish(two);
  assert.equal(cutTwo("wo", " two"), " t");
  assert.equal(cutTwo(" two", "wo"), "");
  // What came after the first stop text does not count: without it there is none of the other.
  assert.equal(new StoppedText(tokenizer, ["two three", "two"]).finish(ids), "one ");
  const stopped = new StoppedText(tokenizer, [" two"]);
  assert.equal(stopped.isStopped(ids.slice(0, 1)), false);
  assert.equal(stopped.isStopped(ids), true);
});

Deno.test("the text of EOS ends a continuation that spells it in other tokens", async () => {
  const model = await load();
  const request = { context: "six", until: [], maxNewTokens: 40, temperature: 0 };
  const generateWith = async (used: Tokenizer) => {
    const answers = new ModelRequests(model, used, { stopTokens: [] }).generations([request]);
    return (await collect(answers))[0]!.value;
  };
  const whole = await generateWith(tokenizer);
  const ids = [...tokenizer.encodeWithoutSpecialTokens(whole)];
  // A letter that the model only wrote as a part of longer tokens.
  const letter = [...whole].find((text) =>
    /[a-z]/.test(text) && !request.context.includes(text) &&
    !ids.includes(tokenizer.encodeWithoutSpecialTokens(text)[0]!)
  );
  assert.ok(letter !== undefined, whole);
  const ending = new Tokenizer(files.tokenizer, { ...files.config, eos_token: letter });
  assert.equal(await generateWith(ending), whole.split(letter, 1)[0]);
});

const PROMPTS = ["one two", "one two three", WORDS.repeat(6), "nine", "one two three four five"];

function generations(settings: Partial<GenerationRequest>): GenerationRequest[] {
  return PROMPTS.map((context) => ({
    ...{ context, until: [], maxNewTokens: 10, temperature: 0 },
    ...settings,
  }));
}

Deno.test("greedy generations are those of single prompts, cut from the left", async () => {
  const model = await load();
  const answers = await collect(
    new ModelRequests(model, tokenizer, { batchSize: 2 }).generations(generations({})),
  );
  for (const [index, prompt] of PROMPTS.entries()) {
    const ids = tokenizer.encode(prompt);
    const room = 48 - 10;
    const [made] = await generate(model, [ids.subarray(-room)], {
      maxNewTokens: 10,
      stop: [tokenizer.eosId!],
    });
    const expected = tokenizer.decode(made!.tokens, { skipSpecialTokens: true });
    assert.equal(answers[index]!.value, expected);
    assert.equal(answers[index]!.truncated ?? 0, Math.max(0, ids.length - room));
  }
  assert.ok(answers[2]!.truncated! > 0);
});

for (
  const [name, open] of [["cpu", () => openCpu({ threads: 2 })], ["webgpu", openWebgpu]] as const
) {
  Deno.test(`${name}: generations do not depend on batches, order or company`, async () => {
    const device = await open();
    const model = await load(device);
    for (const settings of [{}, { temperature: 1.3, topK: 50 }]) {
      const requests = generations(settings);
      const made = async (list: readonly GenerationRequest[], batchSize: number) => {
        const answers = new ModelRequests(model, tokenizer, { batchSize, seed: 8 });
        return (await collect(answers.generations(list))).map(({ value }) => value);
      };
      const expected = await made(requests, 5);
      for (const batchSize of [1, 2]) assert.deepEqual(await made(requests, batchSize), expected);
      assert.deepEqual((await made(requests.toReversed(), 3)).reverse(), expected);
      assert.deepEqual(await made(requests.slice(3, 4), 4), expected.slice(3, 4));
    }
    device.close();
  });
}

Deno.test("draws repeat with the seed, and differ where a repeat is asked for", async () => {
  const model = await load();
  const [request] = generations({ temperature: 1.5 });
  const made = async (list: readonly GenerationRequest[], seed: number) => {
    const answers = new ModelRequests(model, tokenizer, { seed }).generations(list);
    return (await collect(answers)).map(({ value }) => value);
  };
  const [first, same, other] = await made([request!, request!, { ...request!, repeat: 1 }], 1);
  assert.equal(first, same);
  assert.notEqual(first, other);
  assert.notDeepEqual(await made([request!], 2), [first]);
  assert.deepEqual(await made([request!], 1), [first]);
});

Deno.test("more new tokens than positions are refused", async () => {
  const requests = new ModelRequests(await load(), tokenizer);
  await assert.rejects(
    collect(requests.generations(generations({ maxNewTokens: 48 }))),
    /Request 0 asks for 48 new tokens/,
  );
});

Deno.test("a rehearsal frees what it counts, which grows with batches and lengths", async () => {
  const peakOf = async (batchSize: number, maxLength: number) => {
    const device = new CountingDevice(plainMemory("test", 2 ** 40));
    const model = await load(device);
    const before = device.memory().current;
    rehearseRequests(model, { batchSize, maxLength, kinds: ["scores", "generations"] });
    assert.equal(device.memory().current, before);
    return device.memory().peak - before;
  };
  const small = await peakOf(1, 16);
  const cache = 2 * CONFIG.layers * CONFIG.kvHeads * CONFIG.headDim * 4;
  assert.ok(await peakOf(9, 16) - small >= 8 * 16 * cache);
  assert.ok(await peakOf(1, 48) - small >= 32 * cache);
});
