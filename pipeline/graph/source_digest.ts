/**
 * Digests of sources: what a stage reads from outside the store enters its key by content.
 *
 * @module
 */

import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { byCodeUnits, describeSource } from "../data/source.ts";
import { digestFile, digestOf } from "./digest.ts";

/** Remembers digests of files by a stamp that changes with their content. */
export interface DigestCache {
  /** The digest remembered under this stamp, null if there is none. */
  fileDigest(path: string, stamp: string): string | null;
  /** Remembers a digest. */
  setFileDigest(path: string, stamp: string, sha256: string): void;
}

/**
 * A file whose last change is younger than this may change again without changing its times (the
 * clock of file systems ticks every few milliseconds, on some every two seconds), so its digest is
 * not remembered; git's index has the same rule.
 */
const SETTLED_NANOSECONDS = 2_000_000_000n;

/**
 * Hexadecimal SHA-256 of a source. A file counts by its bytes alone; a folder and a glob by the
 * sorted names and bytes of their files. Names that begin with a dot (`.git`, `.cache`) do not count
 * in folders.
 *
 * @throws {UserError} If the reference cannot be resolved.
 */
export async function digestSource(
  reference: string,
  folder: string,
  cache: DigestCache,
): Promise<string> {
  const { kind, paths, root, files: counted } = await describeSource(reference, folder);
  if (kind === "file") return await cachedDigest(paths[0] as string, cache);
  const files = kind === "folder" ? counted ?? await filesBelow(root) : paths;
  const entries: [name: string, sha256: string][] = [];
  for (const path of files) {
    entries.push([relative(root, path).replaceAll(sep, "/"), await cachedDigest(path, cache)]);
  }
  return digestOf({ kind, entries });
}

async function cachedDigest(path: string, cache: DigestCache): Promise<string> {
  const before = await stat(path, { bigint: true });
  const stamp = [before.size, before.mtimeNs, before.ctimeNs, before.ino].join(" ");
  const known = cache.fileDigest(path, stamp);
  if (known !== null) return known;
  const sha256 = await digestFile(path);
  const changed = before.mtimeNs > before.ctimeNs ? before.mtimeNs : before.ctimeNs;
  if (BigInt(Date.now()) * 1_000_000n - changed > SETTLED_NANOSECONDS) {
    cache.setFileDigest(path, stamp, sha256);
  }
  return sha256;
}

async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of (await readdir(folder)).sort(byCodeUnits)) {
    if (name.startsWith(".")) continue;
    const path = join(folder, name);
    // Not lstat: snapshots in the Hugging Face cache are folders of links.
    if ((await Deno.stat(path)).isDirectory) files.push(...await filesBelow(path));
    else files.push(path);
  }
  return files;
}
