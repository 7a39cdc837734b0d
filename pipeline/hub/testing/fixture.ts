/**
 * What tests of the Hub client share: a cache that is empty, a fake Hub, and a clock.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join, relative } from "node:path";
import type { HubOptions } from "../resolve.ts";
import { type HubSettings, hubSettings } from "../settings.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeHub } from "./fake_hub.ts";
import type { FakeRepository } from "./fake_repository.ts";

/** One test's world. */
export interface Fixture {
  readonly hub: FakeHub;
  readonly clock: FakeClock;
  /** Folder of the cache. */
  readonly cache: string;
  /** Sentences that a person would have seen. */
  readonly notices: string[];
  /** Options of a client in this world; settings may differ. */
  options(settings?: Partial<HubSettings>): HubOptions & { readonly settings: HubSettings };
}

/** Runs a test with a fake Hub that has these repositories; everything is gone afterwards. */
export async function withHub(
  repositories: readonly FakeRepository[],
  test: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const cache = join(folder, "hub");
  const clock = new FakeClock();
  const notices: string[] = [];
  try {
    await using hub = new FakeHub(...repositories);
    const settings = hubSettings(
      { HF_HUB_CACHE: cache, HF_HOME: folder, HF_ENDPOINT: hub.endpoint },
      () => true,
    );
    await test({
      hub,
      clock,
      cache,
      notices,
      options: (changes) => ({
        settings: { ...settings, ...changes },
        clock,
        random: () => 0.5,
        notice: (text) => notices.push(text),
      }),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Paths of everything below a folder that is no folder, sorted; links end in "@". */
export async function namesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
      const below = join(path, name);
      if (isDirectory) await walk(below);
      else names.push(relative(folder, below) + (isSymlink ? "@" : ""));
    }
  };
  await walk(folder).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  return names.sort();
}

/** Bytes that repeat nowhere. */
export function someBytes(count: number): Uint8Array<ArrayBuffer> {
  let state = 1;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/**
 * Checks that no partial file is taken for a whole one: every blob is what its name says, every file
 * of a snapshot is such a blob, and parts are beginnings of what they shall become.
 *
 * @returns Names of the parts.
 */
export async function checkCache(
  cache: string,
  repositories: readonly FakeRepository[],
): Promise<string[]> {
  const files = repositories.flatMap((repository) => repository.files);
  const parts: string[] = [];
  for (const name of await namesBelow(cache)) {
    const path = join(cache, name.replace(/@$/, ""));
    const [, digest, part] = /\/blobs\/([0-9a-f]+)(\.incomplete)?$/.exec(name) ?? [];
    const content = Buffer.from(await Deno.readFile(path));
    if (digest !== undefined) {
      const whole = files.find(({ oid, lfs }) => (lfs ?? oid) === digest)?.content;
      const expected = whole?.subarray(0, part === undefined ? undefined : content.length);
      assert.ok(expected !== undefined && content.equals(expected), `${name} has other content`);
      if (part !== undefined) parts.push(name);
    }
    const [, file] = /\/snapshots\/[0-9a-f]{40}\/(.*?)@?$/.exec(name) ?? [];
    if (file === undefined) continue;
    const candidates = files.filter((candidate) => candidate.path === file);
    assert.ok(candidates.some((candidate) => content.equals(candidate.content)), name);
  }
  const left = (await namesBelow(cache)).filter((name) => name.endsWith(".tmp"));
  assert.deepEqual(left, []);
  return parts;
}
