/** Two processes at one cache, and one that is killed. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { resolveHub } from "./resolve.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { checkCache, type Fixture, someBytes, withHub } from "./testing/fixture.ts";

const WEIGHTS = someBytes(3000);
const MODEL = new FakeRepository("models/org/name", { "model.safetensors": WEIGHTS });
const PROGRAM = fileURLToPath(new URL("./testing/download_process.ts", import.meta.url));

/** Starts a process that downloads the model. */
function start(
  { hub, cache }: Fixture,
): { process: Deno.ChildProcess; lines: () => Promise<string> } {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-read",
      "--allow-write",
      "--allow-env",
      "--allow-sys",
      "--allow-net=127.0.0.1",
      PROGRAM,
      "hf:org/name",
    ],
    env: {
      HF_ENDPOINT: hub.endpoint,
      HF_HUB_CACHE: cache,
      HF_HUB_OFFLINE: "",
      TRANSFORMERS_OFFLINE: "",
      HF_HUB_DOWNLOAD_TIMEOUT: "600",
      HF_TOKEN: "",
    },
    stdout: "piped",
    stdin: "null",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  return { process, lines: async () => (await reader.read()).value ?? "" };
}

Deno.test("what a killed process has received is continued, by another one that waited or not", () =>
  withHub([MODEL], async (fixture) => {
    const { hub, cache, options, notices } = fixture;
    hub.fail(/^cdn/, { kind: "hang", bytes: 1000, stalled: () => {} });
    const first = start(fixture);
    for (let text = ""; !text.includes("1000\n");) {
      const more = await first.lines();
      assert.notEqual(more, "", "it has not ended by itself");
      text += more;
    }
    // It holds the lock, so a second one waits, until the first is killed.
    let killed = false;
    const waiting = resolveHub("hf:org/name", {
      ...options(),
      notice: (text) => {
        notices.push(text);
        killed = true;
        first.process.kill("SIGKILL");
      },
    });
    const { files: [path = ""] } = await waiting;
    assert.ok(killed);
    assert.match(
      notices[0] ?? "",
      /^waiting for another process, .* model\.safetensors of hf:org\/name$/,
    );
    await first.process.status;
    while (await first.lines() !== "");
    assert.deepEqual(await Deno.readFile(path), WEIGHTS);
    assert.deepEqual(hub.seen(/^cdn/).map(({ range }) => range), [null, "bytes=1000-"]);
    assert.deepEqual(await checkCache(cache, [MODEL]), []);
    // A third finds everything there.
    hub.requests.length = 0;
    const third = start(fixture);
    let text = "";
    for (let more; (more = await third.lines()) !== "";) text += more;
    assert.equal((await third.process.status).code, 0);
    assert.equal(text, "complete 1\n");
    assert.deepEqual(hub.seen(/resolve|cdn/), []);
    assert.ok(path.startsWith(join(cache, "models--org--name")));
  }));
