// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import { BatchModel } from "../models/batch_model.ts";
import type { LanguageModel } from "../models/language_model.ts";
import { randomModel, startServer, tokenizer } from "./testing/loopback.ts";

/** Token ids with lengths of their own, as lm-evaluation-harness sends them. */
const PROMPTS = [[3, 80, 17, 250, 9], [42, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 100, 101]];

/** What lm-evaluation-harness asks for (`_create_payload` of `models/openai_completions.py`). */
const HARNESS = {
  model: "any",
  temperature: 0,
  max_tokens: 1,
  logprobs: 1,
  seed: 1234,
  echo: true,
};

/** Log-probabilities of all tokens after each token of one text, unpadded, in float64. */
async function logSoftmax(model: LanguageModel, tokens: readonly number[]): Promise<number[][]> {
  const batch = new BatchModel(model, { batchSize: 1, length: tokens.length });
  model.device.write(batch.tokens, Uint32Array.from(tokens));
  model.device.run(batch.forward);
  const rows: number[][] = [];
  for await (const logits of batch.logits(1)) {
    const row = [...logits];
    const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    rows.push(row.map((logit) => logit - total));
  }
  batch.release();
  return rows;
}

/** The sum and the greediness of a continuation as the harness reads them from an answer. */
function readByHarness(choice: Answer["choices"][number], context: number): [number, boolean] {
  const { token_logprobs: scores, top_logprobs: tops } = choice.logprobs!;
  const tokens = scores.slice(context, -1).map(Number);
  return [
    tokens.reduce((sum, score) => sum + score, 0),
    tokens.every((score, index) => score === Math.max(...Object.values(tops[context + index]!))),
  ];
}

interface Answer {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string;
    readonly logprobs: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly (number | null)[];
      readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
      readonly text_offset: readonly number[];
    } | null;
  }[];
}

for (const name of ["reference", "cpu"] as const) {
  Deno.test(`log-probabilities of prompts are those of the float64 reference: ${name}`, async () => {
    const reference = await randomModel();
    const device = name === "cpu" ? await openCpu({ threads: 1 }) : reference.device;
    try {
      await using server = await startServer({ model: await randomModel(device) });
      const { status, json } = await server.post("/v1/completions", {
        ...HARNESS,
        prompt: PROMPTS,
      });
      assert.equal(status, 200);
      const { choices } = json as Answer;
      assert.deepEqual(choices.map(({ index }) => index), [0, 1, 2]);
      // f32 over sums of 16 products, twice; logits are below 20.
      const tolerance = name === "cpu" ? 1e-4 : 1e-9;
      for (const [index, prompt] of PROMPTS.entries()) {
        const expected = await logSoftmax(reference, prompt);
        const { tokens, token_logprobs: scores, top_logprobs: tops } = choices[index]!.logprobs!;
        assert.equal(tokens.length, prompt.length + 1, "the prompt and one token");
        assert.equal(scores[0], null);
        assert.equal(tops[0], null);
        for (let place = 1; place <= prompt.length; place++) {
          const row = expected[place - 1]!;
          const best = Math.max(...row);
          const score = place === prompt.length ? best : row[prompt[place]!]!;
          assert.ok(Math.abs(scores[place]! - score) < tolerance, `${index} ${place}`);
          const top = Math.max(...Object.values(tops[place]!));
          assert.ok(Math.abs(top - best) < tolerance, `${index} ${place}`);
        }
      }
    } finally {
      if (name === "cpu") device.close();
    }
  });
}

Deno.test("a greedy continuation is one for the harness, and any other is none", async () => {
  await using server = await startServer();
  const context = [5, 6, 7];
  const { json } = await server.post("/v1/completions", {
    prompt: context,
    temperature: 0,
    max_tokens: 6,
    logprobs: 1,
  });
  const [generated] = (json as Answer).choices;
  const texts = generated!.logprobs!.tokens;
  assert.equal(texts.length, 6);
  const rows = await logSoftmax(server.engine.model, context);
  const greedy = [...context];
  for (let step = 0; step < 6; step++) {
    const row = (await logSoftmax(server.engine.model, greedy)).at(-1)!;
    greedy.push(row.indexOf(Math.max(...row)));
  }
  assert.equal(rows.length, 3);
  const other = [...greedy.slice(0, 5), 200, ...greedy.slice(6)];
  const { json: scored } = await server.post("/v1/completions", {
    ...HARNESS,
    prompt: [greedy, other],
  });
  const [first, second] = (scored as Answer).choices;
  const [sum, isGreedy] = readByHarness(first!, context.length);
  assert.equal(isGreedy, true);
  const direct = generated!.logprobs!.token_logprobs.reduce<number>((all, s) => all + s!, 0);
  assert.ok(Math.abs(sum - direct) < 1e-9);
  assert.equal(readByHarness(second!, context.length)[1], false);
});

Deno.test("a drawn token has its own log-probability, and not that of the likeliest", async () => {
  await using server = await startServer();
  const row = (await logSoftmax(server.engine.model, PROMPTS[0]!)).at(-1)!;
  const best = Math.max(...row);
  const found: number[] = [];
  for (let seed = 0; seed < 4; seed++) {
    const body = { prompt: PROMPTS[0], max_tokens: 1, temperature: 2, logprobs: 1, seed };
    const { json } = await server.post("/v1/completions", body);
    const { tokens, token_logprobs: [score] } = json.choices[0].logprobs;
    assert.equal(tokens.length, 1);
    assert.ok(row.some((value) => Math.abs(value - score) < 1e-9));
    found.push(score);
  }
  assert.ok(found.some((score) => score < best - 0.1), `${found}`);
});

Deno.test("a token that ends the text is among the log-probabilities", async () => {
  // The harness drops the last one: without it, a token of the continuation would be lost.
  await using plain = await startServer();
  const body = { ...HARNESS, prompt: PROMPTS[0] };
  const { json: expected } = await plain.post("/v1/completions", body);
  const row = (await logSoftmax(plain.engine.model, PROMPTS[0]!)).at(-1)!;
  const next = row.indexOf(Math.max(...row));
  await using ending = await startServer({ endTokens: [next] });
  const { json: found } = await ending.post("/v1/completions", body);
  assert.deepEqual(found.choices[0].logprobs, expected.choices[0].logprobs);
  assert.equal(found.choices[0].finish_reason, "stop");
  assert.equal(found.choices[0].text, tokenizer.decode(PROMPTS[0]!));
});

Deno.test("answers do not depend on what is asked at the same time", async () => {
  await using server = await startServer();
  const bodies = [
    { ...HARNESS, prompt: PROMPTS[0] },
    { ...HARNESS, prompt: PROMPTS },
    { prompt: PROMPTS[2], temperature: 0, max_tokens: 9 },
    { prompt: PROMPTS[1], temperature: 0, max_tokens: 9 },
    { prompt: PROMPTS[1], temperature: 1.5, max_tokens: 9, seed: 3 },
    { prompt: PROMPTS[1], temperature: 1.5, max_tokens: 9, seed: 4 },
    { prompt: "the cat", temperature: 1, top_p: 0.9, top_k: 40, max_tokens: 9, seed: 4 },
  ];
  const ask = async (body: unknown) =>
    ((await server.post("/v1/completions", body)).json as Answer).choices;
  const alone = [];
  for (const body of bodies) alone.push(await ask(body));
  assert.deepEqual(await Promise.all(bodies.map(ask)), alone);
  assert.notDeepEqual(alone[4], alone[5], "seeds count");
});

Deno.test("max_tokens 0 with echo scores a text and adds nothing", async () => {
  await using server = await startServer();
  const body = { prompt: "the cat sat", max_tokens: 0, echo: true, logprobs: 3, temperature: 0 };
  const { json } = await server.post("/v1/completions", body);
  const [choice] = (json as Answer).choices;
  const ids = [...tokenizer.encode("the cat sat")];
  assert.equal(choice!.text, "the cat sat");
  const { tokens, token_logprobs: scores, top_logprobs: tops, text_offset: offsets } = choice!
    .logprobs!;
  assert.equal(tokens.slice(1).join(""), "the cat sat", "BOS has a name, and no place in the text");
  tokens.slice(1).forEach((token, index) =>
    assert.ok("the cat sat".startsWith(token, offsets[index + 1]))
  );
  const rows = await logSoftmax(server.engine.model, ids);
  for (let place = 1; place < ids.length; place++) {
    const largest = [...rows[place - 1]!].sort((a, b) => b - a).slice(0, 3);
    const found = Object.values(tops[place]!).sort((a, b) => b - a);
    const own = rows[place - 1]![ids[place]!]!;
    const expected = largest.includes(own) ? largest : [...largest, own];
    // Equal texts of tokens that are no characters are one entry.
    assert.ok(found.length <= expected.length);
    assert.ok(Math.abs(found[0]! - expected[0]!) < 1e-9);
    assert.ok(Math.abs(scores[place]! - own) < 1e-9);
  }
  assert.deepEqual(json.usage, {
    prompt_tokens: ids.length,
    completion_tokens: 0,
    total_tokens: ids.length,
  });
});
