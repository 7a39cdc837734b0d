/**
 * The list of files of one commit. A commit never changes, so its list is kept in the cache, as
 * `trees/<commit>.json` in the form of huggingface_hub (`_tree_cache.py`).
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import { type HubReference, repositoryText, unsafeName } from "./reference.ts";

/** A file of a repository. */
export interface RepositoryFile {
  /** With `/`; safe to join to a folder. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Its name among blobs: SHA-256 of a large file, git's SHA-1 of a small one; hexadecimal. */
  readonly digest: string;
  /** What `digest` is. */
  readonly algorithm: "sha256" | "git-sha1";
}

/** A file as the API lists it and as the cache keeps it. */
export interface ListedFile {
  /** With `/`; not checked yet. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Git's name of the blob: of the pointer, where the file itself is elsewhere. */
  readonly blob_id: string;
  /** Hexadecimal SHA-256 of a file in large file storage. */
  readonly lfs_sha256?: string | undefined;
  /** Bytes of a file in large file storage. */
  readonly lfs_size?: number | undefined;
}

const FORMAT_VERSION = 1;

const TREE = z.object({
  format_version: z.literal(FORMAT_VERSION),
  files: z.record(
    z.string(),
    z.object({
      size: z.int().nonnegative(),
      blob_id: z.string(),
      lfs_sha256: z.string().nullish(),
      lfs_size: z.int().nonnegative().nullish(),
    }),
  ),
});

/**
 * Files that are safe to name on this machine, sorted.
 *
 * @throws {UserError} If a name climbs out of its folder, or a digest is none: blobs are named by it.
 */
export function checkedFiles(
  listed: Iterable<ListedFile>,
  reference: HubReference,
): RepositoryFile[] {
  const repository = repositoryText(reference);
  const files = Array.from(listed, ({ path, size, blob_id, lfs_sha256, lfs_size }) => {
    const problem = unsafeName(path);
    if (problem !== null) {
      throw new UserError(
        `${repository} lists a file whose name ${problem} (${JSON.stringify(path)}): it is not ` +
          `downloaded, because it could overwrite files elsewhere; do not use this repository`,
      );
    }
    const large = lfs_sha256 !== undefined;
    const digest = lfs_sha256 ?? blob_id;
    const bytes = lfs_size ?? size;
    if (
      !(large ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(digest) || !Number.isSafeInteger(bytes)
    ) {
      throw new UserError(
        `${repository} lists "${path}" without a digest to check it by (found ` +
          `${JSON.stringify(digest)}, size ${bytes}): check HF_ENDPOINT`,
      );
    }
    return { path, size: bytes, digest, algorithm: large ? "sha256" : "git-sha1" } as const;
  });
  return files.sort((left, right) => left.path < right.path ? -1 : 1);
}

/** The text of `trees/<commit>.json`. */
export function stringifyTree(listed: readonly ListedFile[]): string {
  const files = Object.fromEntries(listed.map(({ path, ...file }) => [path, file]));
  return JSON.stringify({ format_version: FORMAT_VERSION, files }, null, 1);
}

/** The files that a `trees/<commit>.json` lists; null if it is damaged or of another version. */
export function parseTree(text: string): ListedFile[] | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  const tree = TREE.safeParse(json);
  if (!tree.success) return null;
  return Object.entries(tree.data.files).map(([path, { lfs_sha256, lfs_size, ...file }]) => ({
    path,
    ...file,
    ...(typeof lfs_sha256 === "string" ? { lfs_sha256, lfs_size: lfs_size ?? file.size } : {}),
  }));
}
