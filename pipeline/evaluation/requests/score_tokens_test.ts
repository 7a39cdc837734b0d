// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { CountingDevice } from "../../../kernels/counting/device.ts";
import { openCpu } from "../../../kernels/cpu/device.ts";
import { cpuMemory } from "../../../kernels/cpu/memory_model.ts";
import type { Device } from "../../../kernels/device.ts";
import { RandomStream } from "../../../kernels/random.ts";
import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import { openWebgpu } from "../../../kernels/webgpu/adapter.ts";
import { BatchModel } from "../../models/batch_model.ts";
import { parseConfig } from "../../models/config.ts";
import {
  type AdapterPlacement,
  type LanguageModel,
  loadLanguageModel,
} from "../../models/language_model.ts";
import { RandomModel } from "../../models/random_model.ts";
import {
  scoreTokens,
  type ScoringOptions,
  type TokenRequest,
  TokenScorer,
  type TokenScores,
} from "./score_tokens.ts";

const VOCABULARY = 203;

/** Attention in windows, adapters of two kinds, and a head that shards would divide unevenly. */
const CONFIG = parseConfig({
  model_type: "mistral",
  sliding_window: 37,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: VOCABULARY,
  max_position_embeddings: 160,
}, "test model");

const adapt: (device: Device) => AdapterPlacement =
  (device) => ({ path, rows, columns, layer }, parameters) => {
    const repeat = layer + 1;
    const a = parameters.place(`${path}.a`, [4, columns]);
    const b = parameters.place(`${path}.b`, [rows / repeat, 4]);
    for (const { value } of [a, b]) {
      const random = new RandomStream(9, value.label);
      const values = Float64Array.from({ length: value.size }, (_, i) => 0.2 * random.normal(i));
      device.write(value, values);
    }
    return { a, b, rank: 4, pool: 1, repeat, scale: 0.3 };
  };

function load(device: Device): Promise<LanguageModel> {
  const source = new RandomModel(CONFIG, 3, 0.3);
  return loadLanguageModel(device, source, undefined, adapt(device));
}

/** Requests that share nothing, contexts, or contexts and parts of continuations. */
function randomRequests(seed: number, count: number): TokenRequest[] {
  const random = new RandomStream(seed, "requests");
  let draw = 0;
  const below = (limit: number) => Math.floor(limit * random.uniform(draw++));
  const tokens = (length: number) => Uint32Array.from({ length }, () => below(VOCABULARY));
  const beginning = tokens(100);
  const requests: TokenRequest[] = [];
  while (requests.length < count) {
    const own = tokens(1 + below(30));
    const context = Uint32Array.of(...beginning.subarray(0, below(2) * (20 + below(80))), ...own);
    const first = tokens(1 + below(9));
    requests.push({ context, continuation: first });
    if (below(2) === 1) requests.push({ context, continuation: tokens(1) });
    if (below(2) === 1) {
      requests.push({ context, continuation: Uint32Array.of(...first, ...tokens(1 + below(20))) });
    }
  }
  return requests.slice(0, count);
}

async function score(
  model: LanguageModel,
  requests: readonly TokenRequest[],
  options?: ScoringOptions,
): Promise<TokenScores[]> {
  const scores: TokenScores[] = [];
  for await (const { index, value } of scoreTokens(model, requests, options)) {
    assert.equal(scores[index], undefined, `two answers to request ${index}`);
    scores[index] = value;
  }
  assert.equal(scores.filter((value) => value !== undefined).length, requests.length);
  return scores;
}

/** The log-probabilities of the next token after each of a text's, by a forward pass over all of it. */
async function fullLogProbabilities(
  model: LanguageModel,
  tokens: Uint32Array,
): Promise<number[][]> {
  const batch = new BatchModel(model, { batchSize: 1, length: tokens.length });
  model.device.write(batch.tokens, tokens);
  model.device.run(batch.forward);
  const rows: number[][] = [];
  for await (const values of batch.logits(1)) {
    const logits = Array.from(values);
    const largest = Math.max(...logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
    rows.push(logits.map((logit) => logit - largest - Math.log(total)));
  }
  batch.release();
  return rows;
}

const DEVICES = {
  reference: () => Promise.resolve<Device>(new ReferenceDevice()),
  cpu: () => openCpu({ threads: 2 }),
  webgpu: () => openWebgpu(),
} as const;

Deno.test("scores are those of a forward pass over the whole text, in float64", async () => {
  const model = await load(new ReferenceDevice());
  const requests = randomRequests(1, 12);
  const scores = await score(model, requests);
  for (const [index, { context, continuation }] of requests.entries()) {
    const all = await fullLogProbabilities(model, Uint32Array.of(...context, ...continuation));
    continuation.forEach((token, place) => {
      const row = all[context.length - 1 + place]!;
      const { logProbabilities, likeliest, likeliestLogProbabilities } = scores[index]!;
      assert.ok(Math.abs(logProbabilities[place]! - row[token]!) < 1e-9);
      assert.equal(likeliest[place], row.indexOf(Math.max(...row)));
      assert.ok(Math.abs(likeliestLogProbabilities[place]! - Math.max(...row)) < 1e-9);
    });
  }
});

for (const [name, open] of Object.entries(DEVICES)) {
  Deno.test(`${name}: batches, order and company change no bit of an answer`, async () => {
    const device = await open();
    const model = await load(device);
    const requests = randomRequests(2, name === "reference" ? 12 : 40);
    const expected = await score(model, requests, { batchSize: 4 });
    for (const batchSize of [1, 3, 16]) {
      assert.deepEqual(await score(model, requests, { batchSize }), expected, `${batchSize} texts`);
    }
    const backwards = await score(model, requests.toReversed(), { batchSize: 2 });
    assert.deepEqual(backwards.reverse(), expected);
    for (const index of [0, 5, 11]) {
      const alone = await score(model, [requests[index]!], { capacity: 150 });
      assert.deepEqual(alone, [expected[index]!], `request ${index} alone`);
    }
    device.close();
  });
}

for (const name of ["cpu", "webgpu"] as const) {
  Deno.test(`${name}: scores differ from float64 by rounding only`, async () => {
    const requests = randomRequests(4, 20);
    const expected = await score(await load(new ReferenceDevice()), requests);
    const device = await DEVICES[name]();
    const found = await score(await load(device), requests);
    for (const [index, { logProbabilities }] of expected.entries()) {
      logProbabilities.forEach((value, place) => {
        const error = Math.abs(found[index]!.logProbabilities[place]! - value);
        // Some hundred roundings of numbers around 10.
        assert.ok(error < 1e-4, `token ${place} of request ${index} is off by ${error}`);
      });
    }
    device.close();
  });
}

Deno.test("the likeliest tokens come in order, with their log-probabilities", async () => {
  const model = await load(new ReferenceDevice());
  const [plain, wanted] = randomRequests(5, 2);
  const [without, { top, logProbabilities }] = await score(model, [plain!, {
    ...wanted!,
    top: 5,
  }]) as [TokenScores, TokenScores];
  assert.deepEqual(without.top, []);
  const text = Uint32Array.of(...wanted!.context, ...wanted!.continuation);
  const all = await fullLogProbabilities(model, text);
  assert.equal(top.length, logProbabilities.length);
  top.forEach((list, place) => {
    const row = all[wanted!.context.length - 1 + place]!;
    const order = row.map((_, token) => token).sort((left, right) => row[right]! - row[left]!);
    assert.deepEqual(list.map(({ token }) => token), order.slice(0, 5));
    for (const { token, logProbability } of list) {
      assert.ok(Math.abs(logProbability - row[token]!) < 1e-9);
    }
  });
});

Deno.test("a scorer answers again and again, and frees everything", async () => {
  const device = new ReferenceDevice();
  const model = await load(device);
  const { current } = device.memory();
  const scorer = new TokenScorer(model, { batchSize: 2 });
  const [request] = randomRequests(6, 1);
  const answers: TokenScores[] = [];
  for (let turn = 0; turn < 2; turn++) {
    for await (const { value } of scorer.score([request!])) answers.push(value);
  }
  assert.deepEqual(answers[0], answers[1]);
  for await (const _ of scorer.score([])) assert.fail("there was no request");
  scorer.release();
  assert.equal(device.memory().current, current);
});

Deno.test("what does not fit, and NaN, is refused", async () => {
  const device = new ReferenceDevice();
  const model = await load(device);
  const scorer = new TokenScorer(model, { batchSize: 1, capacity: 4 });
  const ids = (...tokens: number[]) => Uint32Array.from(tokens);
  const refused = async (request: TokenRequest, message: RegExp) => {
    await assert.rejects(async () => await Array.fromAsync(scorer.score([request])), message);
  };
  await refused({ context: ids(), continuation: ids(1) }, /no token of context/);
  await refused({ context: ids(1), continuation: ids() }, /no token of context or continuation/);
  await refused({ context: ids(1, 2, 3), continuation: ids(4, 5, 6) }, /5 tokens .* more than 4/);
  await refused({ context: ids(1), continuation: ids(VOCABULARY) }, /the token 203 of 203/);
  const bad = new Float64Array(model.finalNorm.value.size).fill(NaN);
  device.write(model.finalNorm.value, bad);
  await refused({ context: ids(1), continuation: ids(2) }, /computes NaN .* of request 0/);
  scorer.release();
});

Deno.test("a plan counts what scoring takes", async () => {
  const device = await openCpu({ threads: 1 });
  const counting = new CountingDevice(cpuMemory(device.info));
  const peaks: number[] = [];
  for (const other of [device, counting]) {
    const source = new RandomModel(CONFIG, 3, 0.3);
    const model = await loadLanguageModel(other, source);
    const before = other.memory().peak;
    const scorer = new TokenScorer(model, { batchSize: 3, capacity: 50 });
    if (other === device) {
      await Array.fromAsync(scorer.score(
        randomRequests(7, 9).filter(({ context, continuation }) =>
          context.length + continuation.length < 50
        ),
      ));
    }
    peaks.push(other.memory().peak - before);
    scorer.release();
  }
  const [measured, planned] = peaks as [number, number];
  // Passes of other sizes have commands of their own.
  assert.ok(planned <= measured && measured < 1.1 * planned, `${measured} of ${planned} bytes`);
  device.close();
});
