/**
 * Downloads one blob into the cache: resumed where an earlier attempt ended, checked against its
 * digest, complete or not there.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type RepositoryCache, statOrNull } from "./cache.ts";
import { type Clock, Watchdog } from "./clock.ts";
import { type HttpAnswer, type HubHttp, Refusal } from "./http.ts";
import { BlobPart } from "./part.ts";
import { retrying, TransferFault } from "./retry.ts";
import type { RepositoryFile } from "./tree.ts";

/** A content that is wrong is fetched once more: a proxy may have slipped, or an old part was wrong. */
const MOST_WRONG_CONTENTS = 2;

/** Milliseconds between two looks at a lock. */
const LOCK_PAUSE = 200;

/** What the server sends is not what the Hub lists. */
export class WrongContent extends Error {}

/** What a download needs besides the file. */
export interface DownloadContext {
  /** Makes the requests. */
  readonly http: HubHttp;
  /** Where the blob goes. */
  readonly cache: RepositoryCache;
  /** Where the content is asked for. */
  readonly address: string;
  /** Told of the bytes that are here, and how many of them have just arrived. */
  progress(bytes: number, received: number): void;
  /** Told, once, if another process is downloading the same. */
  waiting(): void;
}

/**
 * Makes sure that the cache has a blob. Of two processes that want the same, one downloads and the
 * other waits.
 *
 * @throws {TransferFault} If it could not be had; what was received stays for the next attempt.
 * @throws {WrongContent} If what is sent is twice not what was listed; nothing of it stays.
 * @throws {Refusal} If the Hub says no.
 */
export async function downloadBlob(file: RepositoryFile, context: DownloadContext): Promise<void> {
  const { cache, http } = context;
  const blob = cache.blob(file);
  const complete = async () => (await statOrNull(blob))?.size === file.size;
  await cache.prepareBlob(file);
  if (await complete()) return;
  using _ = await takeLock(cache.lock(file), http.options, context.waiting);
  if (await complete()) return;
  using part = await BlobPart.open(blob, file);
  context.progress(part.position, 0);
  const receiver = new Receiver(file, part, context);
  try {
    await retrying(() => receiver.attempt(), http.options);
    await part.commit();
  } catch (error) {
    await part.removeIfEmpty();
    throw error;
  }
}

/** The attempts to receive one blob. */
class Receiver {
  readonly #file: RepositoryFile;
  readonly #part: BlobPart;
  readonly #context: DownloadContext;
  /** Strong validator of what was received. */
  #etag: string | null = null;
  #wrongContents = 0;

  constructor(file: RepositoryFile, part: BlobPart, context: DownloadContext) {
    this.#file = file;
    this.#part = part;
    this.#context = context;
  }

  /** Receives what is missing; afterwards the part is complete and right. */
  async attempt(): Promise<void> {
    const start = this.#part.position;
    try {
      if (start < this.#file.size) await this.#receive(start);
    } catch (error) {
      if (!(error instanceof TransferFault) || this.#part.position <= start) throw error;
      throw new TransferFault(error.message, { progressed: true, pause: error.pause });
    }
    const problem = this.#part.problem();
    if (problem !== null) await this.#reject(problem);
  }

  async #receive(start: number): Promise<void> {
    const { http, address } = this.#context;
    const { settings, clock, signal } = http.options;
    using watchdog = new Watchdog(clock, settings.downloadTimeout, signal);
    const headers = new Headers();
    if (start > 0) {
      headers.set("range", `bytes=${start}-`);
      // RFC 9110, 13.1.5: without it, a range could be one of another content. Across processes the
      // digest alone has to notice.
      if (this.#etag !== null) headers.set("if-range", this.#etag);
    }
    const answer = await this.#send(address, headers, watchdog);
    const { response, url } = answer;
    const etag = response.headers.get("etag");
    this.#etag = etag?.startsWith('"') ? etag : null;
    const reader = response.body?.getReader();
    if (reader === undefined) throw new TransferFault(`${url.host} sent no content`);
    try {
      await this.#begin(answer, start);
      for (;;) {
        const bytes = await http.read(reader, url, watchdog);
        if (bytes === null) break;
        if (this.#part.position + bytes.length > this.#file.size) {
          await this.#reject(`more than ${this.#file.size} bytes were sent`);
        }
        await this.#part.write(bytes);
        this.#context.progress(this.#part.position, bytes.length);
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
    if (this.#part.position < this.#file.size) {
      throw new TransferFault(
        `the connection to ${url.host} ended after ${this.#part.position} of ${this.#file.size} bytes`,
      );
    }
  }

  async #send(address: string, headers: Headers, watchdog: Watchdog): Promise<HttpAnswer> {
    const { http } = this.#context;
    try {
      return await http.send(address, { headers }, watchdog);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // The part is no part of the file, or longer than it.
      if (error.status === 416) return await this.#reject("the server has no such range");
      // Signatures of addresses expire; the next attempt is sent to a new one.
      if (!error.fromHub) {
        throw new TransferFault(`the CDN of ${http.host} answered ${error.status}`);
      }
      throw error;
    }
  }

  /** Compares what will be sent with what was asked for. */
  async #begin({ response }: HttpAnswer, start: number): Promise<void> {
    const { status, headers } = response;
    if (status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
      const total = range?.[2] === "*" ? this.#file.size : Number(range?.[2]);
      if (Number(range?.[1]) !== start || total !== this.#file.size) {
        await this.#reject(`the range that was sent is "${headers.get("content-range") ?? ""}"`);
      }
      return;
    }
    // The server ignores ranges, or the content is another one.
    if (start > 0) await this.#part.discard();
    const length = headers.get("content-length");
    if (length !== null && Number(length) !== this.#file.size) {
      await this.#reject(`it has ${length} bytes, wanted ${this.#file.size}`);
    }
  }

  async #reject(problem: string): Promise<never> {
    await this.#part.discard();
    this.#context.progress(0, 0);
    this.#wrongContents++;
    if (this.#wrongContents >= MOST_WRONG_CONTENTS) throw new WrongContent(problem);
    throw new TransferFault(`what was received is not what the Hub lists (${problem})`);
  }
}

/** Waits for a lock of the operating system, which is free again when its holder ends. */
async function takeLock(
  path: string,
  { clock, signal }: { readonly clock: Clock; readonly signal?: AbortSignal },
  waiting: () => void,
): Promise<Disposable> {
  const file = await Deno.open(path, { create: true, read: true, write: true });
  try {
    for (let told = false; !await file.tryLock(true); told = true) {
      if (!told) waiting();
      await clock.wait(LOCK_PAUSE, signal);
    }
    return { [Symbol.dispose]: () => file.close() };
  } catch (error) {
    file.close();
    if (!(error instanceof Deno.errors.NotSupported)) throw error;
    throw new UserError(
      `The file system of ${path} has no locks, which the cache needs: set HF_HUB_CACHE to another ` +
        `folder`,
    );
  }
}
