/**
 * A file that is being received: what is there already, its hash, and how it becomes whole.
 *
 * @module
 */

import { createHash, type Hash } from "node:crypto";
import { dirname } from "node:path";
import { partOf } from "./cache.ts";
import type { RepositoryFile } from "./tree.ts";

const PIECE_BYTES = 1 << 20;

/** The part of a blob that is on the disk, as `<blob>.incomplete`. */
export class BlobPart implements Disposable {
  /** Bytes received and hashed. */
  position = 0;
  readonly #file: Deno.FsFile;
  readonly #expected: RepositoryFile;
  readonly #blob: string;
  #hash: Hash;

  private constructor(blob: string, file: Deno.FsFile, expected: RepositoryFile) {
    this.#blob = blob;
    this.#file = file;
    this.#expected = expected;
    this.#hash = startHash(expected);
  }

  /** Opens what an earlier download has left, and hashes it. */
  static async open(blob: string, expected: RepositoryFile): Promise<BlobPart> {
    const file = await Deno.open(partOf(blob), { create: true, read: true, write: true });
    const part = new BlobPart(blob, file, expected);
    try {
      if ((await file.stat()).size > expected.size) await part.discard();
      const piece = new Uint8Array(PIECE_BYTES);
      for (let count; (count = await file.read(piece)) !== null;) {
        part.#hash.update(piece.subarray(0, count));
        part.position += count;
      }
      return part;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Appends what was received. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    for (let rest = bytes; rest.length > 0;) {
      rest = rest.subarray(await this.#file.write(rest));
    }
    this.position += bytes.length;
  }

  /** Forgets everything received. */
  async discard(): Promise<void> {
    await this.#file.truncate(0);
    await this.#file.seek(0, Deno.SeekMode.Start);
    this.position = 0;
    this.#hash = startHash(this.#expected);
  }

  /** What is wrong with the content, as far as it is here; null if it is all, and what was listed. */
  problem(): string | null {
    const { digest, algorithm } = this.#expected;
    const found = this.#hash.copy().digest("hex");
    return found === digest ? null : `its ${algorithm} is ${found}, wanted ${digest}`;
  }

  /** Gives a checked content its name, after it is on the disk. */
  async commit(): Promise<void> {
    await this.#file.sync();
    await Deno.rename(partOf(this.#blob), this.#blob);
    // Windows opens no folders; there the rename is written with the file.
    if (Deno.build.os === "windows") return;
    using folder = await Deno.open(dirname(this.#blob), { read: true });
    await folder.sync();
  }

  /** Removes what is useless: nothing was received, or it was wrong. */
  async removeIfEmpty(): Promise<void> {
    if (this.position === 0) await Deno.remove(partOf(this.#blob)).catch(() => {});
  }

  /** Closes the file; what was received stays. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Git names a blob by the SHA-1 of "blob", its size, a zero byte, and its content. */
function startHash({ algorithm, size }: RepositoryFile): Hash {
  return algorithm === "sha256"
    ? createHash("sha256")
    : createHash("sha1").update(`blob ${size}\0`);
}
