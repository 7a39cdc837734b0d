/**
 * What the Hub is asked about a repository, through `@huggingface/hub`: the commit of a revision, and
 * what files it has. The requests themselves are ours, so that all of them are repeated, timed and
 * trusted with the token by one rule.
 *
 * @module
 */

import type { ListFileEntry, PathInfo, RepoId } from "@huggingface/hub";
import { UserError } from "../errors.ts";
import { type HubHttp, Refusal } from "./http.ts";
import { type HubReference, isCommit, repositoryText } from "./reference.ts";
import { faultError, refusalError } from "./refusals.ts";
import { TransferFault } from "./retry.ts";
import type { ListedFile } from "./tree.ts";

/**
 * The commit that a revision stands for at this moment.
 *
 * @param attempts How often to try: fewer where the cache knows an older answer.
 * @throws {TransferFault} If the Hub cannot be reached.
 * @throws {UserError} If there is no such repository or revision, or it may not be read.
 */
export async function fetchCommit(
  reference: HubReference,
  http: HubHttp,
  attempts?: number,
): Promise<string> {
  const { modelInfo, datasetInfo } = await import("@huggingface/hub");
  const options = {
    name: reference.name,
    revision: reference.revision,
    additionalFields: ["sha" as const],
    hubUrl: http.options.settings.endpoint,
    fetch: fetchOf(http, attempts),
  };
  const { sha } = await explained(
    reference,
    http,
    () => reference.type === "model" ? modelInfo(options) : datasetInfo(options),
  ) as { sha?: string };
  // It becomes the name of a folder.
  if (typeof sha === "string" && isCommit(sha)) return sha;
  throw strangeAnswer(http, `the commit of ${reference.text} is ${JSON.stringify(sha)}`);
}

/**
 * All files of a commit, or those of one path of it: one file, or null if there is no such path.
 *
 * @throws {UserError} If it cannot be had.
 */
export async function fetchTree(
  reference: HubReference,
  commit: string,
  http: HubHttp,
): Promise<ListedFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  return await online(reference, http, async () => {
    const files: ListedFile[] = [];
    const entries = listFiles({
      repo: repoOf(reference),
      revision: commit,
      recursive: true,
      hubUrl: http.options.settings.endpoint,
      fetch: fetchOf(http),
    });
    for await (const entry of entries) {
      if (entry.type === "file") files.push(listedFile(entry));
    }
    return files;
  });
}

/**
 * What is at one path of a commit: a file; "folder"; or null if there is nothing.
 *
 * @throws {UserError} If the Hub does not say.
 */
export async function fetchPath(
  reference: HubReference,
  commit: string,
  http: HubHttp,
): Promise<ListedFile | "folder" | null> {
  const { pathsInfo } = await import("@huggingface/hub");
  const [entry] = await online(reference, http, () =>
    pathsInfo({
      repo: repoOf(reference),
      revision: commit,
      paths: [reference.path],
      hubUrl: http.options.settings.endpoint,
      fetch: fetchOf(http),
    }));
  if (entry === undefined) return null;
  if (entry.type === "directory") return "folder";
  if (entry.path === reference.path) return listedFile(entry);
  throw strangeAnswer(
    http,
    `asked for ${reference.text}, it tells of ${JSON.stringify(entry.path)}`,
  );
}

/** The address of a file's content. */
export function contentAddress(
  reference: HubReference,
  commit: string,
  path: string,
  endpoint: string,
): string {
  const repository = `${reference.type === "dataset" ? "datasets/" : ""}${reference.name}`;
  const escaped = path.split("/").map(encodeURIComponent).join("/");
  return `${endpoint}/${repository}/resolve/${commit}/${escaped}`;
}

/** As {@linkcode explained}, where there is nothing to do without an answer. */
async function online<Value>(
  reference: HubReference,
  http: HubHttp,
  action: () => Promise<Value>,
): Promise<Value> {
  try {
    return await explained(reference, http, action);
  } catch (error) {
    if (!(error instanceof TransferFault)) throw error;
    throw faultError(error, `The list of files of ${reference.text}`, http.options.settings);
  }
}

async function explained<Value>(
  reference: HubReference,
  http: HubHttp,
  action: () => Promise<Value>,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    const { settings, signal } = http.options;
    if (error instanceof UserError || error instanceof TransferFault) throw error;
    if (error instanceof Refusal) {
      throw refusalError(error, reference, repositoryText(reference), settings);
    }
    signal?.throwIfAborted();
    // The library trips over answers of servers that are no Hub: pages for browsers, other JSON.
    throw strangeAnswer(http, error instanceof Error ? error.message : String(error));
  }
}

function strangeAnswer(http: HubHttp, reason: string): UserError {
  const { token } = http.options.settings;
  return new UserError(
    `${http.host} does not answer as the Hugging Face Hub does (${
      token?.redact(reason) ?? reason
    }): ` +
      `check HF_ENDPOINT, and whether a login page stands before the network`,
  );
}

/** The library adds no token: {@linkcode HubHttp} knows who may see it. */
function fetchOf(http: HubHttp, attempts?: number): typeof fetch {
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    const body = init?.body;
    return await http.json(String(input), {
      method: init?.method ?? "GET",
      headers,
      ...(typeof body === "string" ? { body } : {}),
    }, attempts);
  };
}

function repoOf({ type, name }: HubReference): RepoId {
  return { type, name };
}

function listedFile({ path, size, oid, lfs }: ListFileEntry | PathInfo): ListedFile {
  return {
    path,
    size,
    blob_id: oid ?? "",
    ...(lfs === undefined ? {} : { lfs_sha256: lfs.oid, lfs_size: lfs.size }),
  };
}
