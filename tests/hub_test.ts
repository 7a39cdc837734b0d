/**
 * An experiment whose model and data are on the Hub: downloaded by the command, read by its workers
 * without a network, pinned to commits, and again offline; the token is nowhere in what is left.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FAKE_TOKEN, FakeHub } from "../pipeline/hub/testing/fake_hub.ts";
import { FakeRepository } from "../pipeline/hub/testing/fake_repository.ts";
import { namesBelow } from "../pipeline/hub/testing/fixture.ts";
import { readResults } from "../pipeline/graph/results.ts";
import { assertOneMessage, type CommandEnd, runCommand } from "./support/command.ts";
import { inFolder } from "./support/tiny_model.ts";

const MODEL = fileURLToPath(new URL("../experiments/models/brown-525k/", import.meta.url));

const EXPERIMENT = `name: hub
graph:
  base: { stage: quantize, model: "hf:tiny/model", quantizer: { method: none } }
  quality:
    stage: evaluate
    from: base
    tasks: [{ task: perplexity, data: { text: "hf:datasets/tiny/words@v1/*/test-*.txt" }, window: 64 }]
`;

/** The model of this repository, behind terms that one has to accept, and what else repositories have. */
async function model(readme: string): Promise<FakeRepository> {
  const files: Record<string, Uint8Array | string> = { "README.md": readme };
  for await (const { name } of Deno.readDir(MODEL)) {
    files[name] = await Deno.readFile(join(MODEL, name));
  }
  files["pytorch_model.bin"] = "the same weights, pickled";
  return new FakeRepository("models/tiny/model", files, { access: "gated" });
}

const WORDS = new FakeRepository("datasets/tiny/words", {
  "README.md": "# Words\n",
  "en/test-0.txt": "The jury said it did find that many of the laws are ambiguous . ".repeat(20),
  "en/test-1.txt": "The mayor took office in the fall of the same year . ".repeat(20),
  "en/train-0.txt": "not this one",
}, { branches: ["v1"] });

/** Runs a command in `folder`, with the cache and the results in it. */
function run(
  name: "experiment" | "plan",
  folder: string,
  env: Record<string, string>,
  out = "runs",
): Promise<CommandEnd> {
  return runCommand(name, ["hub.yaml", "--device", "cpu", "--out", out], {
    cwd: folder,
    env: {
      HF_HOME: join(folder, "hf"),
      HF_HUB_CACHE: "",
      HF_HUB_OFFLINE: "",
      HF_TOKEN: FAKE_TOKEN,
      HF_TOKEN_PATH: "",
      EQUIPOISE_STORE: "",
      ...env,
    },
  });
}

Deno.test("an experiment runs from the Hub, and again offline, with commits pinned", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "hub.yaml"), EXPERIMENT);
    const first = await model("# One\n");
    let endpoint: string;
    {
      await using hub = new FakeHub(first, WORDS);
      endpoint = hub.endpoint;
      const online = await run("experiment", folder, { HF_ENDPOINT: endpoint });
      assert.equal(online.status, 0, online.stderr);
      assert.match(online.stderr, /^hf:tiny\/model: downloading .* MB$/m);
      assert.match(online.stderr, /^hf:tiny\/model: .* MB downloaded in 0:\d\d$/m);
      assert.deepEqual(hub.seen(/README|pytorch|train-0/), []);
      assert.equal(hub.seen(/\/revision\//).length, 2, "each revision is asked for once");

      // Another commit with the same files that count: the key is that of the content.
      const second = await model("# Two\n");
      hub.set(second);
      assert.notEqual(second.commit, first.commit);
      const plan = await run("plan", folder, { HF_ENDPOINT: endpoint });
      assert.match(plan.stdout, /cached/);
      assert.doesNotMatch(plan.stdout, /runs/);
      hub.set(first);
      await run("plan", folder, { HF_ENDPOINT: endpoint });
    }
    const offline = await run(
      "experiment",
      folder,
      { HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "1", HF_TOKEN: "" },
      "offline",
    );
    assert.equal(offline.status, 0, offline.stderr);
    assert.doesNotMatch(offline.stderr, /download/);

    const data = [
      { reference: "hf:tiny/model", pinned: `hf:tiny/model@${first.commit}` },
      {
        reference: "hf:datasets/tiny/words@v1/*/test-*.txt",
        pinned: `hf:datasets/tiny/words@${WORDS.commit}/*/test-*.txt`,
      },
    ];
    const [once, again] = ["runs", "offline"].map((out) =>
      readResults(join(folder, out, "hub", "results.json"))
    );
    for (const results of [once, again]) {
      assert.deepEqual(
        results?.provenance.data.map(({ sha256: _, ...source }) => source),
        data,
      );
    }
    const metric = "quality.base.perplexity";
    assert.ok(Number.isFinite(once?.cells[0]?.metrics[metric]?.value));
    assert.deepEqual(again?.cells[0]?.metrics, once?.cells[0]?.metrics);
    assert.deepEqual(Object.keys(again?.stages ?? {}), Object.keys(once?.stages ?? {}));

    for (const path of await namesBelow(folder)) {
      const bytes = await Deno.readFile(join(folder, path.replace(/@$/, "")));
      assert.ok(!new TextDecoder().decode(bytes).includes(FAKE_TOKEN), path);
    }
  }));

Deno.test("a model that is gated, missing or unreachable is one message with its position", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "hub.yaml"), EXPERIMENT);
    await using hub = new FakeHub(await model(""), WORDS);
    const plan = async (env: Record<string, string>, message: RegExp) => {
      const { status, stdout, stderr } = await run("plan", folder, {
        HF_ENDPOINT: hub.endpoint,
        ...env,
      });
      assert.equal(status, 2);
      assert.equal(stdout, "");
      const [line = ""] = stderr.split("\n").filter((line) => line.startsWith("hub.yaml:"));
      assertOneMessage(line, message);
    };
    await plan(
      { HF_TOKEN: "" },
      /^hub\.yaml:3:\d+: hf:tiny\/model is gated: accept its terms at http.*, then set HF_TOKEN/,
    );
    await plan(
      { HF_HUB_OFFLINE: "1" },
      /^hub\.yaml:3:\d+: config\.json and 3 more of hf:tiny\/model@\w+ are not in the cache/,
    );
    await plan(
      { HF_HUB_OFFLINE: "1", HF_HOME: join(folder, "empty") },
      /^hub\.yaml:3:\d+: hf:tiny\/model is not in the cache .*\/empty\/hub, and HF_HUB_OFFLINE is set/,
    );
    await plan(
      { HF_ENDPOINT: "not an address" },
      /^hub\.yaml:3:\d+: HF_ENDPOINT is "not an address": wanted an address/,
    );
    // A name that stands for nothing is found before the model is downloaded.
    hub.requests.length = 0;
    hub.set(new FakeRepository("datasets/tiny/words", { "train.txt": "" }, { branches: ["v1"] }));
    await plan({}, /^hub\.yaml:7:\d+: hf:datasets\/tiny\/words has nothing at "\*\/test-\*\.txt"/);
    assert.deepEqual(hub.seen(/\/resolve\//), []);
  }));
