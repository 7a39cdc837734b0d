/**
 * A repository of the fake Hub: files in memory, with the digests that the real one gives them.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** A file as the fake Hub holds it. */
export interface FakeFile {
  /** As listed; tests list names that no real file has. */
  readonly path: string;
  readonly content: Uint8Array<ArrayBuffer>;
  /** Git's name of the blob; of the pointer, where the file is in large file storage. */
  readonly oid: string;
  /** SHA-256, where the file is in large file storage. */
  readonly lfs: string | null;
}

/** How a repository behaves. */
export interface FakeRepositoryOptions {
  /** Whether it is kept from those without the token; "gated" says so, "private" denies that it exists. */
  readonly access?: "open" | "gated" | "private";
  /** Branches and tags besides `main`. */
  readonly branches?: readonly string[];
}

/** Models keep their weights in large file storage, and data sets their tables. */
const LARGE = /\.(safetensors|bin|parquet|model|gz|zst)$/;

/** One commit of a repository, to which all of its branches point. */
export class FakeRepository {
  /** "models/org/name", "datasets/org/name". */
  readonly id: string;
  readonly options: FakeRepositoryOptions;
  /** Sorted by path. */
  readonly files: readonly FakeFile[];
  /** Forty hexadecimal digits that depend on the content. */
  readonly commit: string;

  /** Files by path; text is UTF-8. */
  constructor(
    id: string,
    files: Readonly<Record<string, string | Uint8Array>>,
    options: FakeRepositoryOptions = {},
  ) {
    this.id = id;
    this.options = options;
    this.files = Object.entries(files).map(([path, content]) => fakeFile(path, content))
      .sort((left, right) => left.path < right.path ? -1 : 1);
    const list = this.files.map(({ path, oid }) => `${path} ${oid}\n`).join("");
    this.commit = createHash("sha1").update(`commit ${id}\n${list}`).digest("hex");
  }

  /** Name of the repository without its kind. */
  get name(): string {
    return this.id.slice(this.id.indexOf("/") + 1);
  }

  /** Whether a revision stands for this commit. */
  has(revision: string): boolean {
    return [this.commit, this.commit.slice(0, 7), "main", "HEAD", ...this.options.branches ?? []]
      .includes(revision);
  }

  /** The file at a path. */
  file(path: string): FakeFile | undefined {
    return this.files.find((file) => file.path === path);
  }

  /** Files and folders below a folder, as the API tells of them. */
  entries(folder: string, recursive: boolean): object[] {
    const prefix = folder === "" ? "" : `${folder}/`;
    const entries: object[] = [];
    const folders = new Set<string>();
    for (const file of this.files) {
      if (!file.path.startsWith(prefix)) continue;
      const parts = file.path.slice(prefix.length).split("/");
      for (let depth = 1; depth < parts.length; depth++) {
        const path = prefix + parts.slice(0, depth).join("/");
        if (folders.has(path) || depth > 1 && !recursive) continue;
        folders.add(path);
        entries.push({ type: "directory", oid: "0".repeat(40), size: 0, path });
      }
      if (parts.length === 1 || recursive) entries.push(entryOf(file));
    }
    return entries;
  }

  /** What is at a path, as the API tells of it. */
  entry(path: string): object | null {
    const file = this.file(path);
    if (file !== undefined) return entryOf(file);
    const isFolder = this.files.some((other) => other.path.startsWith(`${path}/`));
    return isFolder ? { type: "directory", oid: "0".repeat(40), size: 0, path } : null;
  }
}

function entryOf({ path, content, oid, lfs }: FakeFile): object {
  return {
    type: "file",
    oid,
    size: content.length,
    path,
    ...(lfs === null ? {} : { lfs: { oid: lfs, size: content.length, pointerSize: 130 } }),
  };
}

function fakeFile(path: string, given: string | Uint8Array): FakeFile {
  const content = typeof given === "string"
    ? new TextEncoder().encode(given)
    : new Uint8Array(given);
  const lfs = LARGE.test(path) ? createHash("sha256").update(content).digest("hex") : null;
  const stored = lfs === null
    ? content
    : new TextEncoder().encode(`version 1\noid sha256:${lfs}\nsize ${content.length}\n`);
  const oid = createHash("sha1").update(`blob ${stored.length}\0`).update(stored).digest("hex");
  return { path, content, oid, lfs };
}
