/**
 * From a reference to files on this machine: the revision pinned to a commit, what is missing
 * downloaded, all of it in the cache that the other programs of the ecosystem share.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../errors.ts";
import { fetchCommit, fetchPath, fetchTree } from "./api.ts";
import { RepositoryCache } from "./cache.ts";
import { type Clock, systemClock } from "./clock.ts";
import { downloadFiles } from "./download_files.ts";
import { HubHttp } from "./http.ts";
import type { HubProgress } from "./progress.ts";
import {
  type HubReference,
  isCommit,
  isGlob,
  parseHubReference,
  withRevision,
} from "./reference.ts";
import { faultError, missingEntryError, pageOf } from "./refusals.ts";
import { TransferFault } from "./retry.ts";
import { selectFiles, type Selection } from "./select.ts";
import { type HubSettings, hubSettings } from "./settings.ts";
import { checkedFiles, type RepositoryFile } from "./tree.ts";

export type { HubProgress } from "./progress.ts";

/** Who is told of downloads, and what ends them. */
export interface DownloadListener {
  /** Called with every piece that arrives. */
  readonly report?: (progress: HubProgress) => void;
  /** Called with what a person should know, a sentence. */
  readonly notice?: (text: string) => void;
  /** Ends downloads with its reason; what was received stays for the next attempt. */
  readonly signal?: AbortSignal;
}

/** How a reference is resolved. */
export interface HubOptions extends DownloadListener {
  /**
   * Cache, endpoint, token.
   *
   * @default those of the environment
   */
  readonly settings?: HubSettings;
  /** For tests; default the clock of this machine. */
  readonly clock?: Clock;
  /** For tests; draws from [0, 1) for pauses between attempts. */
  readonly random?: () => number;
}

/** What a reference stands for. */
export interface HubFiles {
  /** `list` for a glob; `folder` for a repository or a folder of it. */
  readonly kind: "file" | "folder" | "list";
  /** Absolute folder that names are relative to. */
  readonly root: string;
  /** Absolute paths of all files that count, sorted. Other programs may have put more into `root`. */
  readonly files: readonly string[];
  /** The commit that the files belong to. */
  readonly commit: string;
  /** The reference with the commit as its revision: it stands for the same files for ever. */
  readonly pinned: string;
}

/**
 * Resolves a reference, downloading what the cache lacks. A reference to a commit whose files are
 * there needs no network.
 *
 * @throws {UserError} In one sentence that says what to do: the reference is wrong; there is no such
 * repository, revision or file; it is gated; the network or the disk fails; it is not in the cache and
 * the network is not to be used; or what was sent is not what was listed.
 *
 * @example
 * ```ts ignore
 * const { root, commit } = await resolveHub("hf:org/name");
 * ```
 */
export async function resolveHub(text: string, options: HubOptions = {}): Promise<HubFiles> {
  const resolver = new Resolver(parseHubReference(text), options);
  return await resolver.explained(async () => await resolver.files(await resolver.commit()));
}

/**
 * The commit that the revision of a reference stands for, as the Hub says now; or, without a network,
 * as the cache remembers.
 *
 * @throws As {@linkcode resolveHub}.
 */
export async function resolveCommit(text: string, options: HubOptions = {}): Promise<string> {
  const resolver = new Resolver(parseHubReference(text), options);
  return await resolver.explained(() => resolver.commit());
}

/**
 * Whether a reference with a commit stands for something: chooses its files and downloads none, except
 * the list of a model's shards.
 *
 * @throws As {@linkcode resolveHub}.
 */
export async function checkHub(text: string, options: HubOptions = {}): Promise<void> {
  const resolver = new Resolver(parseHubReference(text), options);
  await resolver.explained(async () => await resolver.select(await resolver.commit()));
}

/** A file that is known to be in the snapshot. */
interface PresentFile {
  readonly path: string;
  readonly present: true;
}

class Resolver {
  readonly #reference: HubReference;
  readonly #options: HubOptions;
  readonly #settings: HubSettings;
  readonly #cache: RepositoryCache;
  readonly #http: HubHttp;

  constructor(reference: HubReference, options: HubOptions) {
    this.#reference = reference;
    this.#options = options;
    this.#settings = options.settings ?? hubSettings();
    this.#cache = new RepositoryCache(this.#settings.cache, reference, this.#settings);
    const { clock = systemClock, random = Math.random, signal, notice } = options;
    this.#http = new HubHttp({
      settings: this.#settings,
      clock,
      random,
      ...(signal === undefined ? {} : { signal }),
      ...(notice === undefined ? {} : { notice }),
    });
  }

  /** Errors of the file system in a sentence about the cache. */
  async explained<Value>(action: () => Promise<Value>): Promise<Value> {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
      throw new UserError(
        `The cache ${this.#settings.cache} may not be written to (${error.message}): set ` +
          `HF_HUB_CACHE to another folder`,
      );
    }
  }

  /** The commit of the revision. */
  async commit(): Promise<string> {
    const { revision, text } = this.#reference;
    if (isCommit(revision)) return revision;
    const known = await this.#cache.commitOf(revision);
    const { offline } = this.#settings;
    if (offline !== null) {
      if (known !== null) return known;
      throw this.#notCached(`${text} is`, offline);
    }
    try {
      // With an older answer at hand, a network that is down costs one pause, not all of them.
      const commit = await fetchCommit(this.#reference, this.#http, known === null ? undefined : 2);
      await this.#cache.setCommit(revision, commit);
      return commit;
    } catch (error) {
      if (!(error instanceof TransferFault)) throw error;
      if (known === null) throw faultError(error, text, this.#settings);
      this.#options.notice?.(
        `${text}: ${error.message}; using commit ${known.slice(0, 12)}, which is in the cache`,
      );
      return known;
    }
  }

  /** What the reference stands for, downloaded. */
  async files(commit: string): Promise<HubFiles> {
    const selection = await this.select(commit);
    await this.#ensure(commit, selection.files);
    const snapshot = this.#cache.snapshot(commit);
    const absolute = (path: string) => join(snapshot, ...path.split("/"));
    return {
      kind: selection.kind,
      root: selection.root === "" ? snapshot : absolute(selection.root),
      files: selection.files.map(({ path }) => absolute(path)),
      commit,
      pinned: withRevision(this.#reference, commit).text,
    };
  }

  /** Chooses the files; of a model with shards, that needs the list of the shards. */
  async select(commit: string): Promise<Selection<RepositoryFile | PresentFile>> {
    const reference = this.#reference;
    const { path } = reference;
    const single = path !== "" && !isGlob(path);
    // One file by its name needs no list: what is there is complete.
    if (single && await this.#cache.kindOf(commit, path) === "file") {
      const root = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
      return { kind: "file", root, files: [{ path, present: true }] };
    }
    const listed = await this.#listed(commit);
    if (listed === null) return await this.#selectUnlisted(commit);
    const selection = await selectFiles(reference, listed, async (index) => {
      await this.#ensure(commit, [index]);
      return await Deno.readTextFile(join(this.#cache.snapshot(commit), ...index.path.split("/")));
    });
    if (selection === null) throw missingEntryError(reference, pageOf(reference, this.#settings));
    return selection;
  }

  /** The files to choose from: all of the commit, or the one that was asked for; null if unknown. */
  async #listed(commit: string): Promise<RepositoryFile[] | null> {
    const reference = this.#reference;
    const known = await this.#cache.tree(commit);
    if (known !== null) return checkedFiles(known, reference);
    if (this.#settings.offline !== null) return null;
    const { path } = reference;
    if (path !== "" && !isGlob(path)) {
      const found = await fetchPath(reference, commit, this.#http);
      if (found === null) return [];
      if (found !== "folder") return checkedFiles([found], reference);
    }
    const listed = await fetchTree(reference, commit, this.#http);
    const checked = checkedFiles(listed, reference);
    await this.#cache.setTree(commit, listed);
    return checked;
  }

  /** Other programs fill the cache without lists: then what is there has to be taken for all. */
  async #selectUnlisted(commit: string): Promise<Selection<PresentFile>> {
    const reference = this.#reference;
    const { text } = reference;
    const there = (await this.#cache.filesOf(commit))
      .map(({ path }): PresentFile => ({ path, present: true }));
    const selection = there.length === 0 ? null : await selectFiles(
      reference,
      there,
      ({ path }) => Deno.readTextFile(join(this.#cache.snapshot(commit), ...path.split("/"))),
    );
    if (selection === null || selection.files.length === 0) {
      throw this.#notCached(`${text} is`, this.#settings.offline ?? "");
    }
    const count = selection.files.length;
    this.#options.notice?.(
      `${text}: the cache has no list of the files of this commit; using the ` +
        `${count === 1 ? "one file" : `${count} files`} that ${count === 1 ? "is" : "are"} there`,
    );
    return selection;
  }

  /** Downloads what is not there. */
  async #ensure(commit: string, files: readonly (RepositoryFile | PresentFile)[]): Promise<void> {
    const missing: RepositoryFile[] = [];
    for (const file of files) {
      if ("present" in file) continue;
      if (await this.#cache.sizeOf(commit, file.path) !== file.size) missing.push(file);
    }
    const [first] = missing;
    if (first === undefined) return;
    const { offline } = this.#settings;
    if (offline !== null) {
      const rest = missing.length === 1 ? "" : ` and ${missing.length - 1} more`;
      throw this.#notCached(
        `${first.path}${rest} of ${this.#reference.text} ${missing.length === 1 ? "is" : "are"}`,
        offline,
      );
    }
    await downloadFiles(missing, {
      ...this.#options,
      reference: this.#reference,
      commit,
      cache: this.#cache,
      http: this.#http.options,
    });
  }

  #notCached(what: string, offline: string): UserError {
    return new UserError(
      `${what} not in the cache ${this.#settings.cache}, and ${offline}: run once with the network, ` +
        `or set HF_HUB_CACHE to a cache that has it`,
    );
  }
}
