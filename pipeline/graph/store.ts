/**
 * The content-addressed store of stage results.
 *
 * ```text
 * results/ab/ab12.../      files of a result and artifact.json, written last: present = complete
 * checkpoints/ab12.../     what an interrupted stage left for its next attempt
 * tmp/ab12.../             a result being made; becomes results/... by one rename
 * locks/ab12....lock       held by the process that makes the result
 * index.sqlite             queries; rebuilt from the manifests when missing
 * ```
 *
 * @module
 */

import { dirname, join } from "node:path";
import { UserError } from "../errors.ts";
import { statOrNull } from "../formats/files.ts";
import { SafetensorsFile } from "../formats/safetensors.ts";
import { digestFile } from "./digest.ts";
import { keyOf, type Manifest, MANIFEST_NAME } from "./manifest.ts";
import { listFiles, syncFile, syncFolder } from "./store_files.ts";
import { StoreIndex } from "./store_index.ts";
import { type Lock, lock, tryLock } from "./store_lock.ts";
import type { Artifact } from "./stage.ts";

/** What the store knows of a key. */
export type StoreState =
  | { readonly state: "absent" }
  | { readonly state: "complete"; readonly manifest: Manifest }
  /** Files are missing or have another size: the result is made again. */
  | { readonly state: "damaged"; readonly problem: string };

/** Folders of a result that is being made. */
export interface Workspace {
  /** Of the result. */
  readonly key: string;
  /** Becomes the result. */
  readonly folder: string;
  /** Survives interruptions, deleted with the commit. */
  readonly checkpoint: string;
}

/** What an interrupted stage left. */
export interface CheckpointState {
  /** From the `step` in the metadata of a safetensors file; null where there is none. */
  readonly step: number | null;
}

/** An open store. */
export class Store implements Disposable {
  /** Absolute path. */
  readonly folder: string;
  /** Queries over all results. */
  readonly index: StoreIndex;

  private constructor(folder: string, index: StoreIndex) {
    this.folder = folder;
    this.index = index;
  }

  /**
   * Opens the store in `folder` (absolute), which is made if there is none.
   *
   * @throws {UserError} If the folder cannot be made or written to.
   */
  static async open(folder: string): Promise<Store> {
    try {
      for (const name of ["results", "checkpoints", "tmp", "locks"]) {
        await Deno.mkdir(join(folder, name), { recursive: true });
      }
      using _ = await lock(join(folder, "locks", "index.lock"));
      const index = await StoreIndex.open(join(folder, "index.sqlite"), () => manifestsIn(folder));
      return new Store(folder, index);
    } catch (error) {
      throw new UserError(
        `The store ${folder} cannot be used (${error instanceof Error ? error.message : error}): ` +
          `make room and see that it can be written to, or set --out or EQUIPOISE_STORE to ` +
          `another folder`,
        { cause: error },
      );
    }
  }

  /** Whether a result is there, whole as far as the sizes of its files tell. */
  async inspect(key: string): Promise<StoreState> {
    const folder = this.#resultFolder(key);
    const manifest = await readManifest(folder);
    if (manifest === null) {
      return statOrNull(folder) !== null
        ? { state: "damaged", problem: `${MANIFEST_NAME} is missing or unreadable` }
        : { state: "absent" };
    }
    for (const { path, size } of manifest.files) {
      const found = statOrNull(join(folder, path));
      if (found === null) return { state: "damaged", problem: `${path} is missing` };
      if (found.size !== size) {
        return { state: "damaged", problem: `${path} has ${found.size} bytes instead of ${size}` };
      }
    }
    return { state: "complete", manifest };
  }

  /**
   * A complete result.
   *
   * @throws {UserError} If the store does not have it, or not whole.
   */
  async manifest(key: string): Promise<Manifest> {
    const found = await this.inspect(key);
    if (found.state === "complete") return found.manifest;
    throw new UserError(
      `The store ${this.folder} has no complete result ${key.slice(0, 12)}` +
        (found.state === "damaged" ? ` (${found.problem})` : "") +
        ": run the experiment that makes it",
    );
  }

  /** A complete result as stages see it. @throws {UserError} If it is not there. */
  async artifact(key: string): Promise<Artifact> {
    const { kind, node } = await this.manifest(key);
    return { kind, key, folder: this.#resultFolder(key), node };
  }

  /** Compares every file with its recorded digest: the list of what is wrong, empty if all is well. */
  async verify(key: string): Promise<string[]> {
    const found = await this.inspect(key);
    if (found.state === "absent") return ["there is no such result"];
    if (found.state === "damaged") return [found.problem];
    const problems: string[] = [];
    if (found.manifest.key !== key || keyOf(found.manifest) !== key) {
      problems.push(`${MANIFEST_NAME} does not describe this key`);
    }
    const folder = this.#resultFolder(key);
    for (const { path, sha256 } of found.manifest.files) {
      if (await digestFile(join(folder, path)) !== sha256) {
        problems.push(`${path} differs from its recorded digest`);
      }
    }
    return problems;
  }

  /** Every complete manifest. */
  manifests(): AsyncIterable<Manifest> {
    return manifestsIn(this.folder);
  }

  /** Takes the right to make a result, waiting while another process makes it. */
  lock(
    key: string,
    options: { signal?: AbortSignal; waiting?: (holder: string) => void } = {},
  ): Promise<Lock> {
    return lock(this.#lockPath(key), options);
  }

  /** Prepares the folders of a result; the caller holds its lock. */
  async begin(key: string): Promise<Workspace> {
    const workspace = {
      key,
      folder: join(this.folder, "tmp", key),
      checkpoint: join(this.folder, "checkpoints", key),
    };
    await removeAll(workspace.folder);
    await Deno.mkdir(workspace.folder);
    await Deno.mkdir(workspace.checkpoint, { recursive: true });
    return workspace;
  }

  /**
   * Makes the folder of a workspace the result of its key: every file reaches the disk, then the
   * manifest, then the folder gets its final name in one step.
   */
  async commit(workspace: Workspace, record: Omit<Manifest, "files">): Promise<Manifest> {
    const { key, folder } = workspace;
    const names = await listFiles(folder);
    if (names.includes(MANIFEST_NAME)) {
      throw new TypeError(`A stage wrote ${MANIFEST_NAME}, which is the store's own file`);
    }
    const files = [];
    for (const path of names) {
      const absolute = join(folder, path);
      const size = await syncFile(absolute);
      files.push({ path, size, sha256: await digestFile(absolute) });
    }
    const manifest: Manifest = { ...record, files };
    const manifestPath = join(folder, MANIFEST_NAME);
    await Deno.writeTextFile(manifestPath, JSON.stringify(manifest, null, 2) + "\n");
    await syncFile(manifestPath);
    for (const name of foldersOf(names)) await syncFolder(join(folder, name));

    const result = this.#resultFolder(key);
    await Deno.mkdir(dirname(result), { recursive: true });
    await syncFolder(dirname(dirname(result)));
    await removeAll(result); // only if damaged
    await Deno.rename(folder, result);
    await syncFolder(dirname(result));
    await removeAll(workspace.checkpoint);
    this.#remember(manifest);
    return manifest;
  }

  /** Removes what a failed stage wrote; its checkpoint stays unless it is empty. */
  async abandon(workspace: Workspace): Promise<void> {
    await removeAll(workspace.folder);
    await Deno.remove(workspace.checkpoint).catch(() => {}); // refuses a folder with content
  }

  /** What an interrupted stage left for its key, null if nothing. */
  async checkpoint(key: string): Promise<CheckpointState | null> {
    const folder = join(this.folder, "checkpoints", key);
    const files = statOrNull(folder) === null ? [] : await listFiles(folder);
    if (files.length === 0) return null;
    const steps = files
      .filter((path) => path.endsWith(".safetensors"))
      .map((path) => stepOf(join(folder, path)))
      .filter((step) => step !== null);
    return { step: steps.length === 0 ? null : Math.max(...steps) };
  }

  /** Deletes unfinished results of processes that died; returns their keys. */
  async sweep(): Promise<string[]> {
    const swept: string[] = [];
    for await (const { name } of Deno.readDir(join(this.folder, "tmp"))) {
      using held = await tryLock(this.#lockPath(name));
      if (held === null) continue;
      await removeAll(join(this.folder, "tmp", name));
      swept.push(name);
    }
    return swept;
  }

  /** Closes the index. */
  [Symbol.dispose](): void {
    this.index[Symbol.dispose]();
  }

  #resultFolder(key: string): string {
    return join(this.folder, "results", key.slice(0, 2), key);
  }

  #lockPath(key: string): string {
    return join(this.folder, "locks", `${key}.lock`);
  }

  #remember(manifest: Manifest): void {
    try {
      this.index.add(manifest);
    } catch {
      // The result is complete without the index, which only explains plans.
    }
  }
}

async function* manifestsIn(folder: string): AsyncIterable<Manifest> {
  const results = join(folder, "results");
  for await (const prefix of Deno.readDir(results)) {
    if (!prefix.isDirectory) continue; // what a file manager leaves
    for await (const { name } of Deno.readDir(join(results, prefix.name))) {
      const manifest = await readManifest(join(results, prefix.name, name));
      if (manifest !== null) yield manifest;
    }
  }
}

/** Folders that hold one of these files, the outermost (".") among them. */
function foldersOf(files: readonly string[]): Set<string> {
  const folders = new Set<string>(["."]);
  for (const file of files) {
    for (let folder = dirname(file); !folders.has(folder); folder = dirname(folder)) {
      folders.add(folder);
    }
  }
  return folders;
}

async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    const manifest = JSON.parse(await Deno.readTextFile(join(folder, MANIFEST_NAME)));
    return manifest?.format === "equipoise/artifact" ? manifest : null;
  } catch (error) {
    const isNone = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory || error instanceof SyntaxError;
    if (isNone) return null;
    throw error;
  }
}

function stepOf(path: string): number | null {
  try {
    using file = SafetensorsFile.open(path);
    const step = Number(file.metadata["step"] ?? NaN);
    return Number.isInteger(step) ? step : null;
  } catch (error) {
    if (error instanceof UserError) return null; // damaged: the stage itself will say so
    throw error;
  }
}

async function removeAll(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
