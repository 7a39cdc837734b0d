/** The cache is shared with other programs: here with Hugging Face's own client in JavaScript. */

import {
  downloadFileToCacheDir,
  type HFCacheInfo,
  scanCacheDir,
  snapshotDownload,
} from "@huggingface/hub";
import assert from "node:assert/strict";
import { join } from "node:path";
import { resolveHub } from "./resolve.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { checkCache, someBytes, withHub } from "./testing/fixture.ts";

const MODEL = new FakeRepository("models/org/name", {
  "config.json": '{"model_type": "llama"}\n',
  "model.safetensors": someBytes(3000),
  "sub/notes.json": "[]",
});
const OFFLINE = { offline: "HF_HUB_OFFLINE is set" };

Deno.test("another client finds in the cache what ours has downloaded", () =>
  withHub([MODEL], async ({ hub, cache, options }) => {
    const { root, files } = await resolveHub("hf:org/name", options());
    const { repos, warnings }: HFCacheInfo = await scanCacheDir(cache);
    assert.deepEqual(warnings, []);
    assert.deepEqual(repos.map(({ id }) => id), [{ type: "model", name: "org/name" }]);
    const [revision] = repos[0]?.revisions ?? [];
    assert.equal(revision?.commitOid, MODEL.commit);
    assert.deepEqual(revision?.refs, ["main"]);
    assert.deepEqual(revision?.files.map(({ path }) => path).sort(), files);
    hub.requests.length = 0;
    const path = await downloadFileToCacheDir({
      repo: "org/name",
      revision: MODEL.commit,
      path: "model.safetensors",
      cacheDir: cache,
      hubUrl: hub.endpoint,
    });
    assert.equal(path, join(root, "model.safetensors"));
    assert.deepEqual(hub.requests, []);
  }));

Deno.test("ours finds what another client has downloaded", () =>
  withHub([MODEL], async ({ hub, cache, options }) => {
    const { debug } = console;
    console.debug = () => {}; // it tells of every file
    const snapshot = await snapshotDownload({
      repo: "org/name",
      cacheDir: cache,
      hubUrl: hub.endpoint,
    }).finally(() => console.debug = debug);
    assert.deepEqual(await checkCache(cache, [MODEL]), []);
    const offline = await resolveHub("hf:org/name", options(OFFLINE));
    assert.equal(offline.root, snapshot);
    hub.requests.length = 0;
    assert.deepEqual(await resolveHub("hf:org/name", options()), offline);
    assert.deepEqual(hub.seen(/resolve|cdn/), [], "nothing is downloaded again");
  }));
