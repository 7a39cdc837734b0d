// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { type ContinuationPiece, Engine, type Sampling } from "./engine.ts";
import { PromptScorer } from "./prompt_scores.ts";
import { randomModel, tokenizer } from "./testing/loopback.ts";

const GREEDY: Sampling = { maxNewTokens: 6, stopTexts: [], temperature: 0, seed: 1 };

function randomTokens(length: number, seed: number): Uint32Array {
  const random = new RandomStream(seed, "tokens");
  return Uint32Array.from(
    { length },
    (_, index) => Math.floor(random.uniform(index) * tokenizer.vocabSize),
  );
}

async function makeEngine(): Promise<Engine> {
  return new Engine(await randomModel(), tokenizer, { endTokens: new Set(), batchSize: 2 });
}

async function all(pieces: AsyncIterable<ContinuationPiece>): Promise<number[][]> {
  const tokens: number[][] = [];
  for await (const piece of pieces) (tokens[piece.prompt] ??= []).push(...piece.tokens);
  return tokens;
}

const { signal } = new AbortController();

Deno.test("jobs of one moment get the answers of jobs alone", async () => {
  const engine = await makeEngine();
  const prompts = [[5, 9], [3], [11, 4]].map((lengths, job) =>
    lengths.map((length, index) => randomTokens(length, 10 * job + index))
  );
  const settings: Sampling[] = [
    GREEDY,
    { ...GREEDY, maxNewTokens: 3 },
    { ...GREEDY, seed: 2 },
    { ...GREEDY, temperature: 2, seed: 5 },
    { ...GREEDY, temperature: 2, seed: 6 },
  ];
  const asks = [
    ...prompts.map((list) => () => engine.score(list, 1, signal)),
    () => engine.score(prompts[0]!, 3, signal),
    ...settings.map((sampling) => () => all(engine.generate(prompts[0]!, sampling, signal))),
    () => all(engine.generate(prompts[2]!, GREEDY, signal)),
  ];
  const alone: unknown[] = [];
  for (const ask of asks) alone.push(await ask());
  assert.deepEqual(await Promise.all(asks.map((ask) => ask())), alone);
  await engine.close();
});

Deno.test("a job that nobody waits for is left out; closing ends the others", async () => {
  const engine = await makeEngine();
  const prompt = [randomTokens(4, 1)];
  const leaving = new AbortController();
  const kept = engine.score(prompt, 1, signal);
  const left = engine.score(prompt, 1, leaving.signal);
  leaving.abort();
  await assert.rejects(left, /Nobody waits/);
  assert.equal((await kept).length, 1);
  const waiting = all(engine.generate(prompt, { ...GREEDY, temperature: 1 }, signal));
  const closed = engine.close();
  await assert.rejects(waiting, /The server stops/);
  await closed;
});

Deno.test("what fails is one batch, and those behind it get their answers", async () => {
  const engine = await makeEngine();
  const broken = engine.score([Uint32Array.of(1, 100_000)], 1, signal);
  const fine = engine.score([Uint32Array.of(1, 2)], 2, signal);
  await assert.rejects(broken, RangeError);
  assert.equal((await fine)[0]!.length, 2);
  await engine.close();
});

Deno.test("a prompt longer than those before it gets a larger cache", async () => {
  const model = await randomModel(undefined, 700);
  const kept = new PromptScorer(model, 2);
  const tokens = randomTokens(650, 3);
  for (const length of [5, 300, 650, 7]) {
    const fresh = new PromptScorer(model, 2);
    const prompt = [tokens.subarray(0, length)];
    const [expected] = await fresh.score(prompt, 1);
    const [found] = await kept.score(prompt, 1);
    assert.equal(found!.length, length);
    assert.deepEqual(found, expected);
    fresh.release();
  }
  kept.release();
});
