/** What the Hub refuses, and what the sentence says to do. */

import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { resolveHub } from "./resolve.ts";
import type { HubSettings } from "./settings.ts";
import { Token } from "./settings.ts";
import { FAKE_TOKEN, type Fault } from "./testing/fake_hub.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { checkCache, namesBelow, withHub } from "./testing/fixture.ts";

const FILES = { "config.json": "{}", "model.safetensors": "weights" };
const REPOSITORIES = [
  new FakeRepository("models/org/open", FILES),
  new FakeRepository("models/org/gated", FILES, { access: "gated" }),
  new FakeRepository("models/org/private", FILES, { access: "private" }),
  new FakeRepository("models/org/pickle", { "config.json": "{}", "pytorch_model.bin": "weights" }),
  new FakeRepository("models/org/torn", {
    "model.safetensors.index.json": '{"weight_map": {"a": "../../evil.safetensors"}}',
    "model-1-of-1.safetensors": "weights",
  }),
  new FakeRepository("datasets/org/script", { "script.py": "print()" }),
];
const GOOD = new Token(FAKE_TOKEN, "HF_TOKEN");
const BAD = new Token("hf_wrong", "/home/user/.cache/huggingface/token");
const CLOSED = `http://127.0.0.1:${closedPort()}`;
const OFFLINE = { offline: "HF_HUB_OFFLINE is set" };

interface Case {
  readonly reference: string;
  readonly settings?: Partial<HubSettings>;
  readonly fault?: readonly [RegExp, Fault];
  readonly message: RegExp;
}

const forbidden = (message: string): readonly [RegExp, Fault] => [
  /\/resolve\//,
  { kind: "status", status: 403, headers: { "x-error-message": message } },
];

const CASES: Readonly<Record<string, Case>> = {
  "a gated repository, without a token": {
    reference: "hf:org/gated",
    message:
      /^hf:org\/gated is gated: accept its terms at http:\/\/[0-9.:]+\/org\/gated, then set HF_TOKEN to a token of that account \(made at http:\/\/[0-9.:]+\/settings\/tokens\)$/,
  },
  "a gated repository, with a token of another account": {
    reference: "hf:org/open",
    settings: { token: GOOD },
    fault: [/\/resolve\//, {
      kind: "status",
      status: 403,
      headers: { "x-error-code": "GatedRepo", "x-error-message": "Awaiting a review." },
    }],
    message:
      /is gated, and the account of your token \(HF_TOKEN\) has no access: accept .*\/org\/open, .*Awaiting a review\)$/,
  },
  "no repository": {
    reference: "hf:org/none",
    message:
      /^There is no model hf:org\/none on 127.* or it is private: check the name \(a data set is written hf:datasets\/org\/none\); if it is private, set HF_TOKEN/,
  },
  "no repository, with a token": {
    reference: "hf:datasets/org/none",
    settings: { token: GOOD },
    message:
      /^There is no data set hf:datasets\/org\/none on .*the account of your token \(HF_TOKEN\) may not/,
  },
  "a private repository, without a token": {
    reference: "hf:org/private",
    message: /^There is no model hf:org\/private on .*, or it is private/,
  },
  "a token that nobody knows": {
    reference: "hf:org/open",
    settings: { token: BAD },
    message:
      /does not know your token \(\/home\/user.*\/token\): make a new one at .*\/settings\/tokens/,
  },
  "no revision": {
    reference: "hf:org/open@v2",
    message: /^hf:org\/open has no revision "v2": see .*\/org\/open\/branches/,
  },
  "no file": {
    reference: "hf:org/open/none.json",
    message: /^hf:org\/open has nothing at "none\.json" in revision "main": see .*\/tree\/main/,
  },
  "a pattern that matches nothing": {
    reference: "hf:org/open/*.parquet",
    message: /^hf:org\/open has nothing at "\*\.parquet"/,
  },
  "a permission that the token lacks": {
    reference: "hf:org/open",
    settings: { token: GOOD },
    fault: forbidden("Fine-grained tokens need access to public gated repositories"),
    message:
      /does not let you read .*\.\w+ of hf:org\/open \(127.*: Fine-grained tokens .*\): your token \(HF_TOKEN\) lacks/,
  },
  "a repository that was disabled": {
    reference: "hf:org/open",
    fault: forbidden("Access to this resource is disabled."),
    message: /^hf:org\/open was disabled by the Hub/,
  },
  "another refusal": {
    reference: "hf:org/open",
    fault: [/\/resolve\//, { kind: "status", status: 451 }],
    message: /refuses to send .*: it answered 451$/,
  },
  "pickled weights only": {
    reference: "hf:org/pickle",
    message:
      /^hf:org\/pickle has its weights only as pytorch_model\.bin: wanted safetensors.*@refs\/pr\/1/,
  },
  "shards that are not there": {
    reference: "hf:org/torn",
    message: /names the shard "\.\.\/\.\.\/evil\.safetensors", which the repository does not have/,
  },
  "a data set that is a script": {
    reference: "hf:datasets/org/script",
    message: /holds no tables and texts .*hf:datasets\/org\/script@refs\/convert\/parquet$/,
  },
  "no network": {
    reference: "hf:org/open",
    settings: { endpoint: CLOSED },
    message:
      /^hf:org\/open could not be had: the connection to 127\.0\.0\.1:\d+ failed \(tcp connect error: Connection refused\), 6 times; check the/i,
  },
  "offline with nothing in the cache": {
    reference: "hf:org/open",
    settings: OFFLINE,
    message:
      /^hf:org\/open is not in the cache \/.*\/hub, and HF_HUB_OFFLINE is set: run once with the network/,
  },
  "offline with a commit that is not in the cache": {
    reference: `hf:datasets/org/open@${"ab".repeat(20)}/train/*.parquet`,
    settings: OFFLINE,
    message: /train\/\*\.parquet is not in the cache/,
  },
};

for (const [name, { reference, settings, fault, message }] of Object.entries(CASES)) {
  Deno.test(`one sentence for ${name}`, () =>
    withHub(REPOSITORIES, async ({ hub, cache, options }) => {
      if (fault !== undefined) hub.fail(...fault, 99);
      await assert.rejects(resolveHub(reference, options(settings)), (error) => {
        assert.ok(error instanceof UserError, Deno.inspect(error));
        assert.match(error.message, message);
        assert.ok(!error.message.includes("\n"));
        return true;
      });
      assert.deepEqual(await checkCache(cache, REPOSITORIES), []);
      const evil = (await namesBelow(cache)).filter((path) => path.includes("evil"));
      assert.deepEqual(evil, []);
    }));
}

Deno.test("offline, files that are missing are named", () =>
  withHub(REPOSITORIES, async ({ options }) => {
    const { files } = await resolveHub("hf:org/open", options());
    for (const file of files) await Deno.remove(file);
    await assert.rejects(
      resolveHub("hf:org/open", options(OFFLINE)),
      /^UserError: config\.json and 1 more of hf:org\/open are not in the cache .*HF_HUB_OFFLINE is set/,
    );
  }));

for (const name of ["gated", "private"]) {
  Deno.test(`the token opens a ${name} repository`, () =>
    withHub(REPOSITORIES, async ({ options }) => {
      const { files } = await resolveHub(`hf:org/${name}`, options({ token: GOOD }));
      assert.equal(files.length, 2);
    }));
}

/** A port on which nobody listens any more. */
function closedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
