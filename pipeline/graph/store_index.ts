/**
 * The store's index: what SQLite remembers so that plans are quick. Never the truth: it can be
 * deleted at any time and is rebuilt from the manifests; file digests are then computed again.
 *
 * @module
 */

import { DatabaseSync } from "node:sqlite";
import type { Manifest } from "./manifest.ts";

/** Bumped when the tables change; an index of another version is rebuilt. */
const INDEX_VERSION = 1;

const TABLES = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, node TEXT NOT NULL, created TEXT NOT NULL,
    manifest TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS results_by_node ON results (stage, node, created);
  PRAGMA user_version = ${INDEX_VERSION};
`;

/** An open index. All calls are synchronous and take well under a millisecond. */
export class StoreIndex implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Opens `path`, or makes it anew (missing, damaged, of another version) from the manifests that
   * `manifests` lists.
   */
  static async open(
    path: string,
    manifests: () => AsyncIterable<Manifest>,
  ): Promise<StoreIndex> {
    const existing = openExisting(path);
    if (existing !== null) return new StoreIndex(existing);
    for (const suffix of ["", "-wal", "-shm"]) {
      await Deno.remove(path + suffix).catch(ignoreNotFound);
    }
    const database = new DatabaseSync(path, { timeout: 5000 });
    database.exec(TABLES);
    const index = new StoreIndex(database);
    for await (const manifest of manifests()) index.add(manifest);
    return index;
  }

  /** Records a complete result, replacing what was known of its key. */
  add(manifest: Manifest): void {
    const { key, stage, node, created } = manifest;
    this.#database
      .prepare("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)")
      .run(key, stage, node, created, JSON.stringify(manifest));
  }

  /** The results of a graph node, newest first, at most 500. */
  resultsOf(stage: string, node: string): Manifest[] {
    return this.#database
      .prepare(
        "SELECT manifest FROM results WHERE stage = ? AND node = ? ORDER BY created DESC LIMIT 500",
      )
      .all(stage, node)
      .map((row) => JSON.parse(String(row["manifest"])) as Manifest);
  }

  /** The digest recorded for a file whose size, times and inode have not changed since. */
  fileDigest(path: string, stamp: string): string | null {
    const row = this.#database
      .prepare("SELECT sha256 FROM files WHERE path = ? AND stamp = ?")
      .get(path, stamp);
    return row === undefined ? null : String(row["sha256"]);
  }

  /** Remembers the digest of a file's present content, if there is room for it. */
  setFileDigest(path: string, stamp: string, sha256: string): void {
    try {
      this.#database.prepare("INSERT OR REPLACE INTO files VALUES (?, ?, ?)").run(
        path,
        stamp,
        sha256,
      );
    } catch {
      // On a full disk; the digest will be computed again.
    }
  }

  /** Closes the database file. */
  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** The database at `path` if it is one of ours and readable. */
function openExisting(path: string): DatabaseSync | null {
  let database: DatabaseSync;
  try {
    // Opening would create a missing file, and only a new index is filled from the manifests.
    Deno.statSync(path);
    database = new DatabaseSync(path, { timeout: 5000 });
  } catch {
    return null;
  }
  try {
    const version = database.prepare("PRAGMA user_version").get()?.["user_version"];
    if (version === INDEX_VERSION) return database;
  } catch {
    // Not a database: made anew by the caller.
  }
  database.close();
  return null;
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
