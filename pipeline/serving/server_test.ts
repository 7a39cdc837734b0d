// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { generateTexts } from "../evaluation/text_generation.ts";
import { answerLine } from "./answer_line.ts";
import { POSITIONS, startServer, tokenizer } from "./testing/loopback.ts";

const TEMPLATE = "{{ bos_token }}{% for message in messages %}[{{ message.role }}] " +
  "{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

/** The events of a streamed answer. */
async function events(url: string, body: unknown): Promise<Record<string, unknown>[]> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  const lines = (await response.text()).split("\n\n");
  assert.deepEqual(lines.slice(-2), ["data: [DONE]", ""]);
  return lines.slice(0, -2).map((line) => {
    assert.match(line, /^data: \{/);
    return JSON.parse(line.slice("data: ".length));
  });
}

Deno.test("texts are those of generation in this process, whole and in pieces", async () => {
  await using server = await startServer();
  const prompts = ["the cat", "on the", "sa", "der Kater"];
  const expected = await generateTexts(server.engine.model, tokenizer, prompts, {
    maxNewTokens: 20,
    temperature: 0,
  });
  const body = { prompt: prompts, max_tokens: 20, temperature: 0 };
  const { json } = await server.post("/v1/completions", body);
  assert.equal(json.object, "text_completion");
  assert.deepEqual(
    json.choices.map((choice: Record<string, unknown>) => choice.text),
    expected.map(({ text }) => text),
  );
  const texts = prompts.map(() => "");
  const usage: unknown[] = [];
  const stream = { ...body, stream: true, stream_options: { include_usage: true } };
  for (const event of await events(`${server.url}/v1/completions`, stream)) {
    for (const { index, text } of event.choices as { index: number; text: string }[]) {
      texts[index] += text;
    }
    if (event.usage !== undefined) usage.push(event.usage);
  }
  assert.deepEqual(texts, expected.map(({ text }) => text));
  assert.deepEqual(usage, [json.usage]);
  assert.deepEqual(server.records.map((record) => record.usage), [json.usage, json.usage]);
});

Deno.test("a stop text ends a completion, and its tokens", async () => {
  await using server = await startServer();
  const body = { prompt: "the cat", max_tokens: 20, temperature: 0 };
  const { json: whole } = await server.post("/v1/completions", body);
  const { text } = whole.choices[0];
  const stop = text.slice(7, 9);
  for (const wanted of [stop, ["never", stop, ""]]) {
    const { json } = await server.post("/v1/completions", { ...body, stop: wanted, logprobs: 0 });
    const [choice] = json.choices;
    assert.equal(choice.text, text.slice(0, text.indexOf(stop)));
    assert.equal(choice.finish_reason, "stop");
    const { tokens } = choice.logprobs;
    assert.equal(json.usage.completion_tokens, tokens.length);
    assert.ok(tokens.length < 20);
    assert.ok(tokens.join("").includes(stop) && !tokens.slice(0, -1).join("").includes(stop));
    assert.deepEqual(
      choice.logprobs.top_logprobs,
      tokens.map((token: string, index: number) => ({
        [token]: choice.logprobs.token_logprobs[index],
      })),
      "with 0 alternatives only the token itself",
    );
  }
});

Deno.test("a chat is its template's text", async () => {
  await using server = await startServer({ chatTemplate: TEMPLATE });
  const messages = [{ role: "user", content: "the cat" }];
  const settings = { temperature: 0, max_tokens: 8 };
  const { json } = await server.post("/v1/chat/completions", { messages, ...settings });
  const parts = ["the", " cat"].map((text) => ({ type: "text", text }));
  const inParts = { messages: [{ role: "user", content: parts }], ...settings };
  const { json: same } = await server.post("/v1/chat/completions", inParts);
  assert.deepEqual(same.choices, json.choices);
  const prompt = [...tokenizer.encode("[user] the cat\n[assistant] ")];
  const { json: expected } = await server.post("/v1/completions", { prompt, ...settings });
  assert.equal(json.object, "chat.completion");
  const { text, finish_reason } = expected.choices[0];
  assert.deepEqual(json.choices, [{
    index: 0,
    message: { role: "assistant", content: text },
    logprobs: null,
    finish_reason,
  }]);
  assert.deepEqual(json.usage, expected.usage);
  const streamed = await events(`${server.url}/v1/chat/completions`, {
    messages,
    ...settings,
    stream: true,
  });
  const deltas = streamed.map((event) =>
    (event.choices as { delta: { role?: string; content?: string } }[])[0]!.delta
  );
  assert.equal(deltas[0]!.role, "assistant");
  assert.equal(deltas.map(({ content }) => content ?? "").join(""), text);
  // Without a limit, a chat goes on to the end of the context.
  const { json: long } = await server.post("/v1/chat/completions", { messages, temperature: 0 });
  assert.equal(long.usage.total_tokens, POSITIONS);
});

Deno.test("what is wrong is answered as OpenAI's API does", async () => {
  await using server = await startServer();
  const long = Array.from({ length: POSITIONS }, () => 5);
  const completions = "/v1/completions";
  const cases: [string, unknown, number, string | null, RegExp][] = [
    [completions, {}, 400, "prompt", /wanted a text, a list of texts/],
    [completions, { prompt: [] }, 400, "prompt", /prompt/],
    [completions, { prompt: [1.5] }, 400, "prompt", /prompt/],
    [completions, { prompt: "a", temperature: -1 }, 400, "temperature", /temperature/],
    [completions, { prompt: "a", n: 2 }, 400, "n", /"n"/],
    [completions, { prompt: "a", logprobs: 21 }, 400, "logprobs", /20/],
    [completions, { prompt: "a", logit_bias: { 5: 1 } }, 400, "logit_bias", /does not know/],
    [completions, { prompt: "a", stream: true, logprobs: 1 }, 400, "logprobs", /without stream/],
    [completions, { prompt: [[5], [265]] }, 400, "prompt", /token 265.*265 tokens/],
    [completions, { prompt: long, max_tokens: 1 }, 400, "prompt", /64 tokens, but 65.*64 in the/],
    [completions, { prompt: "a", max_tokens: 900 }, 400, "prompt", /max_tokens/],
    ["/v1/chat/completions", { messages: [] }, 400, "messages", /messages/],
    [
      "/v1/chat/completions",
      { messages: [{ role: "user", content: "a" }] },
      400,
      "messages",
      /no chat template/,
    ],
    ["/v1/embeddings", {}, 404, null, /There is no \/v1\/embeddings.*\/v1\/completions/],
    ["/v1/models", {}, 405, null, /wants GET, not POST/],
  ];
  for (const [path, body, status, param, message] of cases) {
    const { status: found, json } = await server.post(path, body);
    assert.equal(found, status, `${path} ${JSON.stringify(body)}`);
    assert.deepEqual(Object.keys(json.error), ["message", "type", "param", "code"]);
    assert.match(json.error.message, message);
    assert.equal(json.error.param, param);
    assert.equal(json.error.type, "invalid_request_error");
  }
  assert.equal(server.records.length, cases.length);
  const { json } = await server.post(completions, { prompt: long });
  assert.equal(json.error.code, "context_length_exceeded");
  const broken = await fetch(server.url + completions, { method: "POST", body: "{" });
  assert.equal(broken.status, 400);
  assert.match((await broken.json()).error.message, /not JSON/);
  const huge = await fetch(server.url + completions, {
    method: "POST",
    body: new Uint8Array((64 << 20) + 1),
  });
  assert.equal(huge.status, 413);
  assert.match((await huge.json()).error.message, /more than 64 MiB/);
});

Deno.test("a defect has status 500, and whoever runs the server sees where", async () => {
  await using server = await startServer();
  server.engine.score = () => Promise.reject(new RangeError("index 7 is outside"));
  const { status, json } = await server.post("/v1/completions", { prompt: "a", logprobs: 1 });
  assert.equal(status, 500);
  assert.deepEqual(json.error, {
    message: "index 7 is outside",
    type: "server_error",
    param: null,
    code: null,
  });
  const [record] = server.records;
  assert.match(record!.trace!, /RangeError: index 7 is outside\n +at /);
  const line = answerLine(record!, new Date(2026, 0, 1, 9, 5, 7));
  assert.match(line, /^09:05:07 POST \/v1\/completions 500, \d\.\d\d s: RangeError/);
});

Deno.test("the tokenizer routes are what lm-evaluation-harness asks for", async () => {
  // `check_remote_tokenizer_support` and `RemoteTokenizer` of its `utils.py`.
  await using server = await startServer({ chatTemplate: TEMPLATE });
  const info = await (await fetch(`${server.url}/tokenizer_info`)).json();
  assert.equal(info.eos_token, tokenizer.decode([tokenizer.eosId!]));
  assert.equal(info.chat_template, TEMPLATE);
  const ask = async (prompt: string, special?: boolean) =>
    (await server.post("/tokenize", {
      prompt,
      ...(special === undefined ? {} : { add_special_tokens: special }),
    })).json.tokens;
  assert.deepEqual(await ask(info.eos_token, false), [tokenizer.eosId]);
  assert.deepEqual(await ask("the cat"), [...tokenizer.encode("the cat")]);
  const ids = [...tokenizer.encodeWithoutSpecialTokens("schön — 猫")];
  assert.deepEqual(await ask("schön — 猫", false), ids);
  assert.equal((await server.post("/detokenize", { tokens: ids })).json.prompt, "schön — 猫");
  const models = await (await fetch(`${server.url}/v1/models`)).json();
  assert.equal(models.data[0].max_model_len, POSITIONS);
  const health = await fetch(`${server.url}/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
});

Deno.test("a client that goes away leaves the line, and others get their answers", async () => {
  await using server = await startServer();
  const leaving = new AbortController();
  const gone = fetch(`${server.url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ prompt: "the cat", max_tokens: 50, temperature: 0, stream: true }),
    signal: leaving.signal,
  }).then(async (response) => {
    const reader = response.body!.getReader();
    await reader.read();
    leaving.abort();
    await reader.read();
  });
  await assert.rejects(gone, { name: "AbortError" });
  const { status, json } = await server.post("/v1/completions", { prompt: "on", temperature: 0 });
  assert.equal(status, 200);
  assert.equal(json.usage.completion_tokens, 16);
});
