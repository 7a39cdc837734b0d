import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SafetensorsWriter } from "../formats/safetensors.ts";
import { keyOf, type Manifest, type StageIdentity } from "./manifest.ts";
import { Store } from "./store.ts";
import { lock, tryLock } from "./store_lock.ts";

const IDENTITY: StageIdentity = {
  stage: "make",
  version: 1,
  parameters: { text: "x" },
  sources: {},
  upstream: [],
  seed: null,
  device: null,
};

function recordOf(identity: StageIdentity = IDENTITY, created = "2026-11-21T14:03:00.000Z") {
  return {
    format: "equipoise/artifact",
    key: keyOf(identity),
    kind: "files",
    node: "base",
    ...identity,
    metrics: {},
    facts: {},
    seconds: 1,
    peakMemory: { host: 1, device: null },
    provenance: {
      experiment: "test",
      equipoise: { version: "0", commit: null },
      deno: "0",
      os: "test",
      device: null,
    },
    created,
  } satisfies Omit<Manifest, "files">;
}

const KEY = keyOf(IDENTITY);

async function withStore(
  test: (store: Store, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    using store = await Store.open(folder);
    await test(store, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Commits a result of two files, 5 and 3 bytes long. */
async function commit(store: Store, identity: StageIdentity = IDENTITY): Promise<Manifest> {
  const key = keyOf(identity);
  using _ = await store.lock(key);
  const workspace = await store.begin(key);
  await Deno.mkdir(join(workspace.folder, "below"));
  await Deno.writeTextFile(join(workspace.folder, "values.txt"), "12345");
  await Deno.writeTextFile(join(workspace.folder, "below", "more.txt"), "abc");
  await Deno.writeTextFile(join(workspace.checkpoint, "state.txt"), "step 1");
  return await store.commit(workspace, recordOf(identity));
}

async function filesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(...await filesBelow(join(folder, name)));
    else names.push(name);
  }
  return names.sort();
}

Deno.test("Store.commit() makes a result of the files, with sizes and digests", () =>
  withStore(async (store, folder) => {
    assert.deepEqual(await store.inspect(KEY), { state: "absent" });
    const manifest = await commit(store);
    assert.deepEqual(manifest.files, [
      // printf abc | sha256sum, printf 12345 | sha256sum
      {
        path: "below/more.txt",
        size: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      },
      {
        path: "values.txt",
        size: 5,
        sha256: "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
      },
    ]);
    const artifact = await store.artifact(KEY);
    assert.equal(artifact.folder, join(folder, "results", KEY.slice(0, 2), KEY));
    assert.equal(artifact.kind, "files");
    assert.deepEqual(
      JSON.parse(await Deno.readTextFile(join(artifact.folder, "artifact.json"))),
      JSON.parse(JSON.stringify(manifest)),
    );
    assert.deepEqual(await store.verify(KEY), []);
    assert.deepEqual(await filesBelow(join(folder, "tmp")), []);
    assert.equal(await store.checkpoint(KEY), null, "the checkpoint is gone");
  }));

Deno.test("a process killed between write and rename leaves no result, and the next one makes it", () =>
  withStore(async (store, folder) => {
    const { success, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        "--allow-sys",
        "--allow-run", // a process needs it to kill itself
        fileURLToPath(new URL("./testing/interrupted_commit.ts", import.meta.url)),
        ...[folder, KEY, JSON.stringify(recordOf())],
      ],
      stdin: "null",
    }).output();
    assert.equal(success, false);
    assert.equal(new TextDecoder().decode(stderr), "", "it died where it should");
    assert.deepEqual(await store.inspect(KEY), { state: "absent" });
    assert.deepEqual(await store.checkpoint(KEY), { step: null });
    assert.notDeepEqual(await filesBelow(join(folder, "tmp")), []);
    {
      using _ = await store.lock(KEY);
      assert.deepEqual(await store.sweep(), [], "what is being made is left alone");
    }
    assert.deepEqual(await store.sweep(), [KEY]);
    assert.deepEqual(await filesBelow(join(folder, "tmp")), []);
    await commit(store);
    assert.deepEqual(await store.verify(KEY), []);
  }));

Deno.test("Store.inspect() and verify() notice damage", () =>
  withStore(async (store) => {
    await commit(store);
    const { folder } = await store.artifact(KEY);
    const path = join(folder, "values.txt");

    await Deno.writeTextFile(path, "12346");
    assert.equal((await store.inspect(KEY)).state, "complete", "sizes alone are looked at");
    assert.deepEqual(await store.verify(KEY), ["values.txt differs from its recorded digest"]);

    await Deno.writeTextFile(path, "123");
    const problem = "values.txt has 3 bytes instead of 5";
    assert.deepEqual(await store.inspect(KEY), { state: "damaged", problem });
    assert.deepEqual(await store.verify(KEY), [problem]);
    await assert.rejects(store.artifact(KEY), { name: "UserError", message: /3 bytes instead/ });

    await Deno.remove(path);
    assert.deepEqual(await store.inspect(KEY), {
      state: "damaged",
      problem: "values.txt is missing",
    });

    await commit(store);
    assert.deepEqual(await store.verify(KEY), [], "made again, it is whole");
  }));

Deno.test("Store.verify() notices a manifest that was edited or moved", () =>
  withStore(async (store) => {
    await commit(store);
    const path = join((await store.artifact(KEY)).folder, "artifact.json");
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace('"text": "x"', '"text": "y"'));
    assert.deepEqual(await store.verify(KEY), ["artifact.json does not describe this key"]);
    await Deno.writeTextFile(path, text.slice(0, 100));
    assert.equal((await store.inspect(KEY)).state, "damaged");
  }));

Deno.test("what a file manager leaves among the results is passed over", () =>
  withStore(async (store, folder) => {
    await commit(store);
    await Deno.writeTextFile(join(folder, "results", ".DS_Store"), "x");
    await Deno.writeTextFile(join(folder, "results", KEY.slice(0, 2), ".DS_Store"), "x");
    const keys: string[] = [];
    for await (const { key } of store.manifests()) keys.push(key);
    assert.deepEqual(keys, [KEY]);
  }));

Deno.test("Store.abandon() removes the files and keeps a checkpoint with content", () =>
  withStore(async (store, folder) => {
    const workspace = await store.begin(KEY);
    await Deno.writeTextFile(join(workspace.folder, "half.txt"), "");
    await store.abandon(workspace);
    assert.deepEqual(await filesBelow(join(folder, "tmp")), []);
    assert.equal(await store.checkpoint(KEY), null);

    const again = await store.begin(KEY);
    const writer = SafetensorsWriter.create(join(again.checkpoint, "state.safetensors"), [], {
      step: "40",
    });
    writer.finish();
    await store.abandon(again);
    assert.deepEqual(await store.checkpoint(KEY), { step: 40 });
  }));

Deno.test("Store.commit() refuses a stage that writes the store's own file", () =>
  withStore(async (store) => {
    const workspace = await store.begin(KEY);
    await Deno.writeTextFile(join(workspace.folder, "artifact.json"), "{}");
    await assert.rejects(store.commit(workspace, recordOf()), /artifact\.json/);
  }));

Deno.test("the index is rebuilt from the manifests when it is missing or damaged", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const other = { ...IDENTITY, version: 2 };
    {
      using store = await Store.open(folder);
      await commit(store);
      await commit(store, other);
    }
    for (const damage of ["missing", "not a database"]) {
      const path = join(folder, "index.sqlite");
      if (damage === "missing") await Deno.remove(path);
      else await Deno.writeTextFile(path, "this is no database".repeat(100));
      using store = await Store.open(folder);
      const keys = store.index.resultsOf("make", "base").map(({ key }) => key);
      assert.deepEqual(keys.sort(), [KEY, keyOf(other)].sort(), damage);
      assert.deepEqual(store.index.resultsOf("make", "other"), []);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("lock() waits for the holder and names it", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "x.lock");
  try {
    const first = await lock(path);
    assert.equal(await tryLock(path), null);
    const told = Promise.withResolvers<string>();
    const second = lock(path, { waiting: told.resolve });
    assert.equal(await told.promise, `process ${Deno.pid} on ${Deno.hostname()}`);
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    assert.deepEqual([...Deno.readDirSync(dirname(path))], [], "no file is left");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("lock() gives up when aborted", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "x.lock");
  try {
    using _ = await lock(path);
    const controller = new AbortController();
    const reason = new Error("stop");
    const waiting = lock(path, {
      signal: controller.signal,
      waiting: () => controller.abort(reason),
    });
    await assert.rejects(waiting, reason);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Store.open() says what to do where no folder can be made", async () => {
  const file = await Deno.makeTempFile();
  try {
    await assert.rejects(Store.open(join(file, "store")), {
      name: "UserError",
      message: /^The store .* cannot be used .*EQUIPOISE_STORE/,
    });
  } finally {
    await Deno.remove(file);
  }
});
