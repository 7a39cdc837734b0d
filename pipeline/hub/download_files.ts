/**
 * Downloads the files of a commit, several at a time, and puts them into its snapshot.
 *
 * @module
 */

import { statfs } from "node:fs/promises";
import { UserError } from "../errors.ts";
import { contentAddress } from "./api.ts";
import type { RepositoryCache } from "./cache.ts";
import { downloadBlob, WrongContent } from "./download.ts";
import { type HttpOptions, HubHttp, Refusal } from "./http.ts";
import { DownloadMeter, type HubProgress } from "./progress.ts";
import { type HubReference, repositoryText } from "./reference.ts";
import { faultError, refusalError } from "./refusals.ts";
import { TransferFault } from "./retry.ts";
import type { RepositoryFile } from "./tree.ts";

/** Files that are received at the same time. */
const STREAMS = 4;

/** Where files come from and go to. */
export interface FilesContext {
  /** For messages and addresses. */
  readonly reference: HubReference;
  /** The commit that the files belong to. */
  readonly commit: string;
  /** Where they go. */
  readonly cache: RepositoryCache;
  /** How requests are made. */
  readonly http: HttpOptions;
  /** Called with every piece that arrives. */
  readonly report?: (progress: HubProgress) => void;
  /** Called with what a person should know, a sentence. */
  readonly notice?: (text: string) => void;
}

/**
 * Downloads files. The first failure ends the others; what they received stays for the next attempt.
 *
 * @throws {UserError} If there is no room, or one of them could not be had.
 */
export async function downloadFiles(
  files: readonly RepositoryFile[],
  context: FilesContext,
): Promise<void> {
  const { reference, http: { clock, signal }, report = () => {} } = context;
  await checkSpace(files, context);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const meter = new DownloadMeter(repositoryText(reference), total, clock, report);
  const failure = new AbortController();
  const http = new HubHttp({
    ...context.http,
    signal: signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]),
  });
  const queue = [...files];
  const streams = Array.from({ length: Math.min(STREAMS, files.length) }, async () => {
    try {
      for (let file; (file = queue.shift()) !== undefined;) {
        await download(file, http, meter, context);
      }
    } catch (error) {
      queue.length = 0;
      failure.abort(error);
    }
  });
  await Promise.all(streams);
  // The first: later reasons do not replace it.
  failure.signal.throwIfAborted();
}

async function download(
  file: RepositoryFile,
  http: HubHttp,
  meter: DownloadMeter,
  { reference, commit, cache, notice }: FilesContext,
): Promise<void> {
  const { settings } = http.options;
  const what = `${file.path} of ${repositoryText(reference)}`;
  try {
    await downloadBlob(file, {
      http,
      cache,
      address: contentAddress(reference, commit, file.path, settings.endpoint),
      progress: (bytes, received) => meter.update(file.path, bytes, received),
      waiting: () => notice?.(`waiting for another process, which is downloading ${what}`),
    });
  } catch (error) {
    if (error instanceof TransferFault) throw faultError(error, what, settings);
    if (error instanceof Refusal) throw refusalError(error, reference, what, settings);
    if (!(error instanceof WrongContent)) throw error;
    throw new UserError(
      `${what} arrived twice as another file than the Hub lists (${error.message}): nothing of it ` +
        `was kept; try again later, or another network or HF_ENDPOINT`,
    );
  }
  await cache.link(commit, file);
}

/** Before hours of downloading. */
async function checkSpace(
  files: readonly RepositoryFile[],
  { reference, http: { settings: { cache } } }: FilesContext,
): Promise<void> {
  await Deno.mkdir(cache, { recursive: true });
  const { bavail, bsize } = await statfs(cache);
  const needed = files.reduce((sum, { size }) => sum + size, 0);
  if (needed <= bavail * bsize) return;
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
  throw new UserError(
    `${reference.text} needs ${gigabytes(needed)} GB in ${cache}, where ` +
      `${
        gigabytes(bavail * bsize)
      } GB are free: free some space, or set HF_HUB_CACHE to another disk`,
  );
}
