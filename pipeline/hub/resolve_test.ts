import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { type HubProgress, resolveCommit, resolveHub } from "./resolve.ts";
import { FakeRepository } from "./testing/fake_repository.ts";
import { namesBelow, someBytes, withHub } from "./testing/fixture.ts";

const WEIGHTS = someBytes(3000);

/** A model as they are: what is needed, and what is not. */
function model(changes: Record<string, string | Uint8Array> = {}): FakeRepository {
  return new FakeRepository("models/org/name", {
    ".gitattributes": "*.safetensors filter=lfs\n",
    "README.md": "# A model\n",
    "config.json": '{"model_type": "llama"}\n',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": someBytes(4000),
    "tokenizer.json": "{}\n",
    "onnx/model.onnx": "the same again",
    ...changes,
  }, { branches: ["v1", "refs/pr/1"] });
}

const NEEDED = ["config.json", "model.safetensors", "tokenizer.json"];

Deno.test("resolveHub() fills the cache as other programs of the ecosystem do", () =>
  withHub([model()], async ({ hub, cache, options }) => {
    const { commit, files } = model();
    const found = await resolveHub("hf:org/name", options());
    const snapshot = join(cache, "models--org--name", "snapshots", commit);
    assert.deepEqual(found, {
      kind: "folder",
      root: snapshot,
      files: NEEDED.map((name) => join(snapshot, name)),
      commit,
      pinned: `hf:org/name@${commit}`,
    });
    const digests = NEEDED.map((name) => files.find(({ path }) => path === name))
      .map((file) => file?.lfs ?? file?.oid ?? "");
    assert.deepEqual(
      await namesBelow(cache),
      [
        ...digests.map((digest) => `.locks/models--org--name/${digest}.lock`),
        ...digests.map((digest) => `models--org--name/blobs/${digest}`),
        "models--org--name/refs/main",
        ...NEEDED.map((name) => `models--org--name/snapshots/${commit}/${name}@`),
        `models--org--name/trees/${commit}.json`,
      ].sort(),
    );
    assert.deepEqual(await Deno.readFile(join(snapshot, "model.safetensors")), WEIGHTS);
    assert.equal(
      await Deno.readLink(join(snapshot, "model.safetensors")),
      `../../blobs/${createHash("sha256").update(WEIGHTS).digest("hex")}`,
    );
    assert.equal(await Deno.readTextFile(join(cache, "models--org--name/refs/main")), commit);
    assert.deepEqual(hub.seen(/pytorch|onnx|README/), [], "nothing else was asked for");
  }));

Deno.test("resolveHub() of a pinned reference, and of an offline one, asks nobody", () =>
  withHub([model()], async ({ hub, options }) => {
    const first = await resolveHub("hf:org/name", options());
    hub.requests.length = 0;
    const pinned = await resolveHub(first.pinned, options());
    assert.deepEqual(pinned, { ...first, pinned: first.pinned });
    const offline = options({ offline: "HF_HUB_OFFLINE is set" });
    assert.deepEqual(await resolveHub("hf:org/name", offline), first);
    assert.deepEqual(hub.requests, []);
  }));

Deno.test("resolveHub() follows a branch to its new commit, and keeps the old one", () =>
  withHub([model()], async ({ hub, options }) => {
    const old = await resolveHub("hf:org/name", options());
    const changed = model({ "config.json": '{"model_type": "opt"}\n' });
    hub.set(changed);
    hub.requests.length = 0;
    const now = await resolveHub("hf:org/name", options());
    assert.equal(now.commit, changed.commit);
    assert.notEqual(now.commit, old.commit);
    assert.match(await Deno.readTextFile(join(now.root, "config.json")), /opt/);
    assert.match(await Deno.readTextFile(join(old.root, "config.json")), /llama/);
    assert.equal(hub.seen(/resolve/).length, 1, "only what changed is downloaded");
  }));

for (const revision of ["v1", "refs/pr/1", model().commit.slice(0, 7)]) {
  Deno.test(`resolveHub() finds revision ${revision}, and again offline`, () =>
    withHub([model()], async ({ options }) => {
      const reference = `hf:org/name@${revision}`;
      const { commit, pinned } = await resolveHub(reference, options());
      assert.equal(commit, model().commit);
      assert.equal(pinned, `hf:org/name@${commit}`);
      const offline = options({ offline: "HF_HUB_OFFLINE is set" });
      assert.equal(await resolveCommit(reference, offline), commit);
    }));
}

Deno.test("resolveHub() takes one file without listing the repository", () =>
  withHub([model({ "sub/notes #1.json": "[]" })], async ({ hub, cache, notices, options }) => {
    const found = await resolveHub("hf:org/name/sub/notes #1.json", options());
    assert.equal(found.kind, "file");
    assert.deepEqual(found.files, [join(found.root, "notes #1.json")]);
    assert.match(found.root, /snapshots\/[0-9a-f]{40}\/sub$/);
    assert.equal(await Deno.readTextFile(found.files[0] ?? ""), "[]");
    assert.deepEqual(hub.seen(/\/tree\//), []);
    assert.ok(!(await namesBelow(cache)).some((name) => name.includes("/trees/")));
    const offline = options({ offline: "HF_HUB_OFFLINE is set" });
    assert.deepEqual(await resolveHub("hf:org/name/sub/notes #1.json", offline), found);
    assert.deepEqual(notices, []);
  }));

const DATA = new FakeRepository("datasets/org/set", {
  ".gitattributes": "",
  "README.md": "# Data\n",
  "dataset_infos.json": "{}",
  "en/train-0.jsonl.gz": someBytes(40),
  "en/train-1.jsonl.gz": someBytes(50),
  "en/test-0.jsonl.gz": someBytes(60),
  "de/train-0.jsonl.gz": someBytes(70),
  "script.py": "print()",
});

for (
  const [reference, kind, root, names] of [
    ["hf:datasets/org/set/en/train-*.jsonl.gz", "list", "en", [
      "en/train-0.jsonl.gz",
      "en/train-1.jsonl.gz",
    ]],
    ["hf:datasets/org/set@main/**/train-0.*", "list", "", [
      "de/train-0.jsonl.gz",
      "en/train-0.jsonl.gz",
    ]],
    ["hf:datasets/org/set/de", "folder", "de", ["de/train-0.jsonl.gz"]],
    ["hf:datasets/org/set/README.md", "file", "", ["README.md"]],
    ["hf:datasets/org/set", "folder", "", [
      "de/train-0.jsonl.gz",
      "en/test-0.jsonl.gz",
      "en/train-0.jsonl.gz",
      "en/train-1.jsonl.gz",
    ]],
  ] as const
) {
  Deno.test(`resolveHub() of ${reference}, online and off`, () =>
    withHub([DATA], async ({ cache, options }) => {
      const snapshot = join(cache, "datasets--org--set", "snapshots", DATA.commit);
      const online = await resolveHub(reference, options());
      assert.equal(online.kind, kind);
      assert.equal(online.root, join(snapshot, root));
      assert.deepEqual(online.files, names.map((name) => join(snapshot, name)));
      const offline = options({ offline: "HF_HUB_OFFLINE is set" });
      assert.deepEqual(await resolveHub(reference, offline), online);
    }));
}

Deno.test("resolveHub() reports the bytes of all files up to the last", () =>
  withHub([model()], async ({ options }) => {
    const seen: HubProgress[] = [];
    await resolveHub("hf:org/name", { ...options(), report: (progress) => seen.push(progress) });
    const total = model().files.filter(({ path }) => NEEDED.includes(path))
      .reduce((sum, { content }) => sum + content.length, 0);
    assert.ok(seen.every((progress) => progress.total === total));
    assert.equal(Math.max(...seen.map(({ done }) => done)), total);
    assert.deepEqual(new Set(seen.map(({ repository }) => repository)), new Set(["hf:org/name"]));
  }));

Deno.test("resolveHub() copies where the file system has no links", () =>
  withHub([model()], async ({ options }) => {
    const { root } = await resolveHub("hf:org/name", options({ symlinks: false }));
    const info = await Deno.lstat(join(root, "model.safetensors"));
    assert.ok(info.isFile && !info.isSymlink);
    assert.equal(info.size, WEIGHTS.length);
  }));

Deno.test("resolveHub() restores a file whose blob was deleted or cut", () =>
  withHub([model()], async ({ cache, options }) => {
    const { root } = await resolveHub("hf:org/name", options());
    const path = join(root, "model.safetensors");
    const blob = await Deno.realPath(path);
    for (const damage of [() => Deno.remove(blob), () => Deno.truncate(blob, 100)]) {
      await damage();
      await resolveHub("hf:org/name", options());
      assert.deepEqual(await Deno.readFile(path), WEIGHTS);
    }
    assert.ok(!(await namesBelow(cache)).some((name) => /incomplete|tmp/.test(name)));
  }));

Deno.test("resolveHub() uses the cache when the Hub is down, and says so", () =>
  withHub([model()], async ({ hub, clock, notices, options }) => {
    const { commit } = await resolveHub("hf:org/name", options());
    hub.fail(/^hub \/api/, { kind: "status", status: 503 }, 2);
    assert.equal((await resolveHub("hf:org/name", options())).commit, commit);
    assert.equal(notices.length, 2);
    assert.match(notices[0] ?? "", /^127\.0\.0\.1:\d+ answered 503; trying again in 0\.8 s$/);
    assert.match(
      notices[1] ?? "",
      /^hf:org\/name: .* answered 503, twice; using commit [0-9a-f]{12}/,
    );
    assert.equal(clock.pauses.length, 1);
  }));

Deno.test("resolveHub() takes what Python left, which has no list", () =>
  withHub([model()], async ({ cache, notices, options }) => {
    const repository = join(cache, "models--org--name");
    const { commit } = model();
    const snapshot = join(repository, "snapshots", commit);
    await Deno.mkdir(snapshot, { recursive: true });
    await Deno.mkdir(join(repository, "refs"));
    // Python writes no line end; people with an editor do.
    await Deno.writeTextFile(join(repository, "refs", "main"), `${commit}\n`);
    for (const name of ["config.json", "model.safetensors", "README.md"]) {
      await Deno.writeTextFile(join(snapshot, name), "{}");
    }
    const found = await resolveHub("hf:org/name", options({ offline: "HF_HUB_OFFLINE is set" }));
    assert.deepEqual(found.files, [
      join(snapshot, "config.json"),
      join(snapshot, "model.safetensors"),
    ]);
    assert.match(notices[0] ?? "", /no list of the files.*using the 2 files/);
  }));

Deno.test("two calls at once download each file once", () =>
  withHub([model()], async ({ hub, options }) => {
    const both = await Promise.all([1, 2].map(() => resolveHub("hf:org/name", options())));
    assert.deepEqual(both[0], both[1]);
    assert.equal(hub.seen(/^cdn/).length, 1);
    assert.equal(hub.seen(/^hub .*\/resolve\//).length, 3);
  }));

Deno.test("resolveHub() stops at a signal and continues where it stopped", () =>
  withHub([model()], async ({ hub, cache, options }) => {
    const controller = new AbortController();
    const reason = new UserError("stopped");
    hub.fail(/^cdn/, { kind: "hang", bytes: 1000, stalled: () => {} });
    const stopped = resolveHub("hf:org/name/model.safetensors", {
      ...options(),
      signal: controller.signal,
      report: ({ done }) => done === 1000 && controller.abort(reason),
    });
    await assert.rejects(stopped, (error) => error === reason);
    const parts = (await namesBelow(cache)).filter((name) => name.endsWith(".incomplete"));
    assert.equal(parts.length, 1);
    assert.equal((await Deno.stat(join(cache, parts[0] ?? ""))).size, 1000);
    const { files: [path = ""] } = await resolveHub("hf:org/name/model.safetensors", options());
    assert.deepEqual(await Deno.readFile(path), WEIGHTS);
    assert.equal(hub.seen(/^cdn/)[1]?.range, "bytes=1000-");
  }));
