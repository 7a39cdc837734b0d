/** What a hostile server, a hostile repository or a hostile cache cannot do. */

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UserError } from "../errors.ts";
import { resolveHub } from "./resolve.ts";
import { hubSettings, Token } from "./settings.ts";
import { FAKE_TOKEN, type Fault } from "./testing/fake_hub.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { namesBelow, withHub } from "./testing/fixture.ts";

const MODEL = new FakeRepository("models/org/name", {
  "config.json": "{}",
  "model.safetensors": "weights",
  "sub/notes.json": "[]",
});
const TOKEN = new Token(FAKE_TOKEN, "HF_TOKEN");

for (
  const [name, reason] of [
    ["../evil.json", 'an empty part, "." or ".."'],
    ["a/../../evil.json", 'an empty part, "." or ".."'],
    ["./evil.json", 'an empty part, "." or ".."'],
    ["a//evil.json", 'an empty part, "." or ".."'],
    ["/evil.json", "is absolute"],
    ["C:/evil.json", "a drive letter"],
    ["C:evil.json", "a drive letter"],
    ["..\\evil.json", "a backslash"],
    ["\\\\host\\evil.json", "a backslash"],
    ["evil\0.json", "a control character"],
    ["evil\n.json", "a control character"],
  ] as const
) {
  Deno.test(`a file that is named ${JSON.stringify(name)} is refused`, () => {
    const evil = new FakeRepository("models/org/evil", { "config.json": "{}", [name]: "[]" });
    return withHub([evil], async ({ cache, options }) => {
      await assert.rejects(resolveHub("hf:org/evil", options()), (error) => {
        assert.ok(error instanceof UserError);
        assert.ok(error.message.includes(reason), error.message);
        assert.ok(error.message.includes(JSON.stringify(name)), error.message);
        return true;
      });
      // Nothing of the repository is here, and nothing beside the cache.
      const found = await namesBelow(dirname(cache));
      assert.deepEqual(found, ["hub/models--org--evil/refs/main"]);
    });
  });
}

Deno.test("a digest that is a path is refused", () =>
  withHub([MODEL], async ({ hub, cache, options }) => {
    const entry = { type: "file", path: "config.json", size: 2, oid: "../../../../evil" };
    const bytes = new TextEncoder().encode(JSON.stringify([entry]));
    hub.fail(/\/tree\//, { kind: "content", content: bytes });
    await assert.rejects(resolveHub("hf:org/name", options()), /without a digest to check it by/);
    assert.deepEqual(await namesBelow(dirname(cache)), ["hub/models--org--name/refs/main"]);
  }));

Deno.test("links in the cache that lead out of it are neither read nor written through", () =>
  withHub([MODEL], async ({ cache, options }) => {
    const outside = join(dirname(cache), "outside");
    const repository = join(cache, "models--org--name");
    const weights = MODEL.file("model.safetensors")?.lfs ?? "";
    for (
      const [link, target] of [
        // A file with the size of the real one, where the snapshot has its files.
        [`snapshots/${MODEL.commit}/config.json`, "file"],
        [`snapshots/${MODEL.commit}/sub`, "folder"],
        ["snapshots", "folder"],
        ["blobs", "folder"],
        ["refs", "folder"],
        ["trees", "folder"],
        [`blobs/${weights}`, "long"],
        [`blobs/${weights}.incomplete`, "file"],
      ] as const
    ) {
      await Deno.mkdir(join(outside, "folder"), { recursive: true });
      await Deno.writeTextFile(join(outside, "file"), "!!");
      await Deno.writeTextFile(join(outside, "long"), "!!!!!!!");
      const path = join(repository, link);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.symlink(join(outside, target), path);
      const reference = link.endsWith("sub") ? "hf:org/name/sub/notes.json" : "hf:org/name";
      await assert.rejects(resolveHub(reference, options()), (error) => {
        assert.ok(error instanceof UserError, `${link}: ${Deno.inspect(error)}`);
        assert.match(error.message, /leads out of the cache \(to .*\/outside/);
        return true;
      });
      assert.deepEqual(await namesBelow(outside), ["file", "long"], link);
      assert.equal(await Deno.readTextFile(join(outside, "file")), "!!");
      await Deno.remove(cache, { recursive: true });
      await Deno.remove(outside, { recursive: true });
    }
  }));

Deno.test("a link to nothing outside the cache is replaced, not followed", () =>
  withHub([MODEL], async ({ cache, options }) => {
    const path = join(cache, "models--org--name/snapshots", MODEL.commit, "config.json");
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.symlink("../../../../../evil.json", path);
    await resolveHub("hf:org/name", options());
    assert.equal(await Deno.readTextFile(path), "{}");
    assert.deepEqual(
      (await namesBelow(dirname(cache))).filter((name) => name.includes("evil")),
      [],
    );
  }));

Deno.test("a ref that holds a path is not followed", () =>
  withHub([MODEL], async ({ cache, options }) => {
    const outside = join(dirname(cache), "outside");
    await Deno.mkdir(outside);
    await Deno.writeTextFile(join(outside, "config.json"), "{}");
    const refs = join(cache, "models--org--name", "refs");
    await Deno.mkdir(refs, { recursive: true });
    await Deno.mkdir(join(cache, "models--org--name", "snapshots"));
    await Deno.writeTextFile(join(refs, "main"), "../../../outside");
    await assert.rejects(
      resolveHub("hf:org/name", options({ offline: "HF_HUB_OFFLINE is set" })),
      /hf:org\/name is not in the cache/,
    );
  }));

Deno.test("the user may link the cache and a repository to another disk", () =>
  withHub([MODEL], async ({ cache, options }) => {
    const disk = join(dirname(cache), "disk");
    await Deno.mkdir(join(disk, "repository"), { recursive: true });
    await Deno.mkdir(join(disk, "cache"));
    await Deno.symlink(join(disk, "cache"), cache);
    await Deno.symlink(join(disk, "repository"), join(cache, "models--org--name"));
    for (let time = 0; time < 2; time++) {
      const { files } = await resolveHub("hf:org/name", options());
      assert.equal(files.length, 2);
    }
  }));

Deno.test("only the Hub sees the token", () =>
  withHub([MODEL], async ({ hub, options }) => {
    await resolveHub("hf:org/name", options({ token: TOKEN }));
    const seen = (host: string) =>
      new Set(
        hub.requests.filter((request) => request.host === host).map((request) =>
          request.authorization
        ),
      );
    assert.deepEqual(seen("hub"), new Set([`Bearer ${FAKE_TOKEN}`]));
    assert.deepEqual(seen("cdn"), new Set([null]));
  }));

Deno.test("a redirect of the list does not carry the token elsewhere", () =>
  withHub([MODEL], async ({ hub, options }) => {
    hub.fail(/^hub .*\/tree\//, { kind: "redirect", location: `${hub.cdn}/elsewhere` });
    await assert.rejects(resolveHub("hf:org/name", options({ token: TOKEN })), UserError);
    assert.deepEqual(hub.seen(/elsewhere/).map(({ authorization }) => authorization), [null]);
  }));

/** Servers that say the token back, as debugging proxies do. */
const ECHOES: Readonly<Record<string, readonly [RegExp, Fault, number]>> = {
  "in a header": [/\/revision\//, {
    kind: "status",
    status: 400,
    headers: { "x-error-message": `what is Authorization: Bearer ${FAKE_TOKEN}` },
  }, 1],
  "in JSON": [/\/revision\//, {
    kind: "content",
    content: new TextEncoder().encode(JSON.stringify({ sha: FAKE_TOKEN })),
  }, 1],
  "in a refusal of the content": [/\/resolve\//, {
    kind: "status",
    status: 403,
    headers: { "x-error-message": `${FAKE_TOKEN} may not` },
  }, 99],
  "in an address": [/\/resolve\//, {
    kind: "redirect",
    location: `http://127.0.0.1:1/?token=${FAKE_TOKEN}`,
  }, 99],
};

for (const [name, fault] of Object.entries(ECHOES)) {
  Deno.test(`no error shows the token that a server says back ${name}`, () =>
    withHub([MODEL], async ({ hub, cache, options }) => {
      hub.fail(...fault);
      await assert.rejects(resolveHub("hf:org/name", options({ token: TOKEN })), (error) => {
        assert.ok(error instanceof UserError, Deno.inspect(error));
        for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
          const text = [cause.message, cause.stack, Deno.inspect(cause), JSON.stringify(cause)];
          assert.ok(!text.join().includes(FAKE_TOKEN));
        }
        return true;
      });
      for (const path of await namesBelow(cache)) {
        assert.ok(
          !(await Deno.readTextFile(join(cache, path.replace(/@$/, "")))).includes(FAKE_TOKEN),
        );
      }
    }));
}

Deno.test("settings that are printed show no token", () => {
  const settings = hubSettings({ HF_TOKEN: FAKE_TOKEN, HOME: "/none" }, () => true);
  assert.equal(settings.token?.authorization, `Bearer ${FAKE_TOKEN}`);
  for (const shown of [Deno.inspect(settings, { depth: 9 }), JSON.stringify(settings)]) {
    assert.ok(!shown.includes(FAKE_TOKEN));
  }
});
