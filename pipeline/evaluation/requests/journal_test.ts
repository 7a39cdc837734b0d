// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { journaled } from "./journal.ts";
import type { Answer, GenerationRequest, LogLikelihoodRequest, RequestModel } from "./request.ts";

/** Answers by the contents of requests, last first, and remembers what it was asked. */
class CountingModel implements RequestModel {
  readonly asked: unknown[] = [];
  /** Answers before the process is killed. */
  #left: number;

  constructor(left = Infinity) {
    this.#left = left;
  }

  logLikelihoods(requests: Parameters<RequestModel["logLikelihoods"]>[0]) {
    const isCut = ({ context }: { context: string }) => context === "bb";
    return this.#answer(requests, ({ context, continuation }) => ({
      sum: -(context.length + continuation.length / 7),
      isGreedy: continuation.length % 2 === 0,
      tokens: continuation.length,
    }), isCut);
  }

  rollingLogLikelihoods(texts: readonly string[]) {
    return this.#answer(texts, (text) => ({ sum: -text.length / 3, tokens: text.length }));
  }

  generations(requests: readonly GenerationRequest[]) {
    return this.#answer(requests, ({ context, repeat }) => `${context}\n"€" ${repeat ?? 0}`);
  }

  async *#answer<Request, Value>(
    requests: readonly Request[],
    value: (request: Request) => Value,
    isCut: (request: Request) => boolean = () => false,
  ): AsyncGenerator<Answer<Value>> {
    for (let index = requests.length - 1; index >= 0; index--) {
      if (this.#left-- <= 0) throw new Error("killed");
      await Promise.resolve();
      const request = requests[index]!;
      this.asked.push(request);
      yield { index, value: value(request), ...(isCut(request) && { truncated: 7 }) };
    }
  }
}

function requests(...contexts: readonly string[]): LogLikelihoodRequest[] {
  return contexts.map((context, index) => ({ context, continuation: "x".repeat(1 + index % 2) }));
}

const LIKELIHOODS = requests("a", "bb", "c", "dddd");

async function collect<Value>(answers: AsyncIterable<Answer<Value>>): Promise<Answer<Value>[]> {
  const list = await Array.fromAsync(answers);
  return list.sort((left, right) => left.index - right.index);
}

async function inFile(test: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(join(folder, "answers"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a file that ends at any byte gives its whole lines, and the model the rest", async () => {
  await inFile(async (path) => {
    const expected = await collect(new CountingModel().logLikelihoods(LIKELIHOODS));
    assert.deepEqual(
      await collect(journaled(new CountingModel(), path).logLikelihoods(LIKELIHOODS)),
      expected,
    );
    const bytes = Deno.readFileSync(path);
    for (let size = 0; size <= bytes.length; size++) {
      Deno.writeFileSync(path, bytes.subarray(0, size));
      const model = new CountingModel();
      const answers = await collect(journaled(model, path).logLikelihoods(LIKELIHOODS));
      assert.deepEqual(answers, expected, `cut at byte ${size}`);
      const whole = bytes.subarray(0, size).filter((byte) => byte === 10).length;
      assert.equal(model.asked.length, LIKELIHOODS.length - whole, `cut at byte ${size}`);
      assert.deepEqual(Deno.readFileSync(path).length, bytes.length);
    }
  });
});

Deno.test("a byte that changed costs its line, not an answer", async () => {
  await inFile(async (path) => {
    const expected = await collect(
      journaled(new CountingModel(), path).logLikelihoods(LIKELIHOODS),
    );
    const bytes = Deno.readFileSync(path);
    for (let place = 0; place < bytes.length; place++) {
      const damaged = bytes.slice();
      damaged[place]! ^= 4;
      Deno.writeFileSync(path, damaged);
      const model = new CountingModel();
      const answers = await collect(journaled(model, path).logLikelihoods(LIKELIHOODS));
      assert.deepEqual(answers, expected, `byte ${place}`);
      // Without its end, a line takes the next one with it.
      const lost = bytes[place] === 10 && place < bytes.length - 1 ? 2 : 1;
      assert.equal(model.asked.length, lost, `byte ${place}`);
    }
  });
});

Deno.test("a killed evaluation goes on with what is missing", async () => {
  await inFile(async (path) => {
    const list = requests("a", "bb", "a", "dddd", "e");
    const first = new CountingModel(3);
    await assert.rejects(collect(journaled(first, path).logLikelihoods(list)), /killed/);
    const second = new CountingModel();
    const answers = await collect(journaled(second, path).logLikelihoods(list));
    assert.deepEqual(answers, await collect(new CountingModel().logLikelihoods(list)));
    // The last three were answered, and the first equals one of them.
    assert.equal(first.asked.length, 3);
    assert.deepEqual(second.asked, [list[1]]);
  });
});

Deno.test("kinds of requests and their settings are told apart in one file", async () => {
  await inFile(async (path) => {
    const generation = { context: "a", until: ["\n"], maxNewTokens: 3, temperature: 0 };
    const generations: GenerationRequest[] = [
      generation,
      { ...generation, until: [] },
      { ...generation, maxNewTokens: 4 },
      { ...generation, temperature: 1 },
      { ...generation, topK: 2 },
      { ...generation, topP: 0.5 },
      { ...generation, repeat: 1 },
    ];
    const ask = async (model: RequestModel) => [
      await collect(model.logLikelihoods(LIKELIHOODS)),
      await collect(model.rollingLogLikelihoods(["a", "bb"])),
      await collect(model.generations(generations)),
    ];
    const model = new CountingModel();
    const expected = await ask(new CountingModel());
    assert.deepEqual(await ask(journaled(model, path)), expected);
    assert.equal(model.asked.length, LIKELIHOODS.length + 2 + generations.length);
    const again = new CountingModel();
    assert.deepEqual(await ask(journaled(again, path)), expected);
    assert.deepEqual(again.asked, []);
  });
});

Deno.test("what is no journal is passed over", async () => {
  await inFile(async (path) => {
    Deno.writeTextFileSync(path, "something else\n");
    await collect(journaled(new CountingModel(), path).rollingLogLikelihoods(["a"]));
    const model = new CountingModel();
    await collect(journaled(model, path).rollingLogLikelihoods(["a"]));
    assert.deepEqual(model.asked, []);
  });
});
