/**
 * The cache of the Hugging Face ecosystem, which other programs read and write, too: for each
 * repository `refs/<revision>` (a commit), `blobs/<digest>`, and `snapshots/<commit>/<path>`, links
 * into `blobs`.
 *
 * @module
 */

import { dirname, join, relative, sep } from "node:path";
import { UserError } from "../errors.ts";
import { type HubReference, isCommit } from "./reference.ts";
import { type ListedFile, parseTree, type RepositoryFile, stringifyTree } from "./tree.ts";

/** The part of the cache that belongs to one repository. */
export class RepositoryCache {
  /** `<cache>/models--org--name`. */
  readonly folder: string;
  readonly #cache: string;
  readonly #name: string;
  readonly #symlinks: boolean;

  /**
   * Creates nothing.
   *
   * @param cache Folder of the cache.
   * @param options.symlinks Whether snapshots may be links.
   */
  constructor(
    cache: string,
    { type, name }: Pick<HubReference, "type" | "name">,
    options: { readonly symlinks: boolean },
  ) {
    this.#cache = cache;
    this.#name = [`${type}s`, ...name.split("/")].join("--");
    this.folder = join(cache, this.#name);
    this.#symlinks = options.symlinks;
  }

  /** Folder of the files of a commit. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** Where the content of a file is. */
  blob({ digest }: Pick<RepositoryFile, "digest">): string {
    return join(this.folder, "blobs", digest);
  }

  /** The lock that a program holds while it writes a blob; the same as in huggingface_hub. */
  lock({ digest }: Pick<RepositoryFile, "digest">): string {
    return join(this.#cache, ".locks", this.#name, `${digest}.lock`);
  }

  /** The commit that a revision stood for when it was last asked; null if it never was. */
  async commitOf(revision: string): Promise<string | null> {
    if (isCommit(revision)) return revision;
    const text = await readText(join(this.folder, "refs", ...revision.split("/")));
    // Foreign content, which becomes part of a path.
    return text !== null && isCommit(text.trim()) ? text.trim() : null;
  }

  /** Remembers what a revision stands for. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (await this.commitOf(revision) === commit) return;
    await this.#replace(join(this.folder, "refs", ...revision.split("/")), commit);
  }

  /** The list of files of a commit; null if it is not here. */
  async tree(commit: string): Promise<ListedFile[] | null> {
    const text = await readText(join(this.folder, "trees", `${commit}.json`));
    return text === null ? null : parseTree(text);
  }

  /** Remembers the list of files of a commit. */
  async setTree(commit: string, listed: readonly ListedFile[]): Promise<void> {
    await this.#replace(join(this.folder, "trees", `${commit}.json`), stringifyTree(listed));
  }

  /**
   * Size of a file of a snapshot; null if it is not here, or its blob is gone.
   *
   * @throws {UserError} If it is a link out of the cache.
   */
  async sizeOf(commit: string, path: string): Promise<number | null> {
    const file = join(this.snapshot(commit), ...path.split("/"));
    const info = await statOrNull(file);
    if (info === null) return null;
    await this.#assertInside(file);
    return info.isFile ? info.size : null;
  }

  /** What is at a path of a snapshot. */
  async kindOf(commit: string, path: string): Promise<"file" | "folder" | null> {
    const found = join(this.snapshot(commit), ...path.split("/"));
    const info = await statOrNull(found);
    if (info === null) return null;
    await this.#assertInside(found);
    return info.isDirectory ? "folder" : "file";
  }

  /** Files of a snapshot, for lack of a list: what other programs have downloaded. */
  async filesOf(commit: string): Promise<{ path: string; size: number }[]> {
    const files: { path: string; size: number }[] = [];
    const walk = async (below: string): Promise<void> => {
      for await (const { name } of Deno.readDir(join(this.snapshot(commit), below))) {
        const path = below === "" ? name : `${below}/${name}`;
        const size = await this.sizeOf(commit, path);
        if (size !== null) files.push({ path, size });
        else if (await this.kindOf(commit, path) === "folder") await walk(path);
      }
    };
    if (await statOrNull(this.snapshot(commit)) !== null) await walk("");
    return files.sort((left, right) => left.path < right.path ? -1 : 1);
  }

  /**
   * Makes the folders that a blob needs.
   *
   * @throws {UserError} If one of them is a link out of the cache, or something is where the blob or
   * its part belongs that is no file.
   */
  async prepareBlob(file: RepositoryFile): Promise<void> {
    for (const path of [this.blob(file), this.lock(file)]) {
      await Deno.mkdir(dirname(path), { recursive: true });
      await this.#assertInside(dirname(path));
    }
    for (const path of [this.blob(file), partOf(this.blob(file)), this.lock(file)]) {
      const info = await Deno.lstat(path).catch(nullIfMissing);
      if (info?.isDirectory) throw new UserError(`${path} is a folder: a file belongs there`);
      if (info?.isSymlink) await this.#assertInside(path);
    }
  }

  /**
   * Puts a complete blob into a snapshot: as a relative link, else as a second name of the same file,
   * else as a copy, where the file system has neither. A copy appears in one step, too.
   */
  async link(commit: string, file: RepositoryFile): Promise<void> {
    const target = join(this.snapshot(commit), ...file.path.split("/"));
    await Deno.mkdir(dirname(target), { recursive: true });
    await this.#assertInside(dirname(target));
    const blob = this.blob(file);
    const temporary = `${target}.${crypto.randomUUID().slice(0, 8)}.tmp`;
    const ways = [
      ...(this.#symlinks
        ? [() => Deno.symlink(relative(dirname(target), blob), temporary, { type: "file" })]
        : []),
      () => Deno.link(blob, temporary),
      () => Deno.copyFile(blob, temporary),
    ];
    try {
      for (const [index, way] of ways.entries()) {
        try {
          await way();
          break;
        } catch (error) {
          if (index === ways.length - 1) throw error;
        }
      }
      await Deno.rename(temporary, target);
    } catch (error) {
      await Deno.remove(temporary).catch(nullIfMissing);
      throw error;
    }
  }

  /** Replaces a small file in one step. */
  async #replace(path: string, text: string): Promise<void> {
    await Deno.mkdir(dirname(path), { recursive: true });
    await this.#assertInside(dirname(path));
    const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
    try {
      await Deno.writeTextFile(temporary, text);
      await Deno.rename(temporary, path);
    } catch (error) {
      await Deno.remove(temporary).catch(nullIfMissing);
      throw error;
    }
  }

  /** The user may have linked the cache or this repository elsewhere; names from below may not. */
  async #assertInside(path: string): Promise<void> {
    const real = await Deno.realPath(path);
    for (const root of [this.#cache, this.folder]) {
      const inside = relative(await Deno.realPath(root).catch(() => root), real);
      if (inside !== ".." && !inside.startsWith(`..${sep}`) && !/^([A-Za-z]:|[/\\])/.test(inside)) {
        return;
      }
    }
    throw new UserError(
      `${path} leads out of the cache (to ${real}): it is not used; remove it, and run the same ` +
        `command again`,
    );
  }
}

/** Where a blob is while it is incomplete; the same as in huggingface_hub. */
export function partOf(blob: string): string {
  return `${blob}.incomplete`;
}

/** What is at a path, links followed; null if there is nothing. */
export async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  return await Deno.stat(path).catch(nullIfMissing);
}

async function readText(path: string): Promise<string | null> {
  return await Deno.readTextFile(path).catch(nullIfMissing);
}

function nullIfMissing(error: unknown): null {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return null;
  }
  throw error;
}
